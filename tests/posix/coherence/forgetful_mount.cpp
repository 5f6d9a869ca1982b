// ringfs-forgetful FAULT ADDRESSES DIRECTORY OPTIONS: a mount without one of its guards, to show that the check of
// coherence notices. FAULT: release_without_telling (a recall is answered before the kernel has forgotten),
// release_without_forgetting (the mount's own memory, too), none. It serves in the foreground until it is unmounted.
#include <cstdio>
#include <sstream>
#include <string>
#include <vector>

#include "mount/commands/mount_process.hpp"

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: ringfs-forgetful FAULT ADDRESSES DIRECTORY OPTIONS\n");
    return 2;
  }
  const std::string fault = argv[1];
  ringfs::dht::TransactionFaults faults;
  faults.release_without_telling = fault == "release_without_telling";
  faults.release_without_forgetting = fault == "release_without_forgetting";
  ringfs::mount::MountOptions options;
  const ringfs::Status applied = ringfs::mount::apply_mount_options(argv[4], options);
  if (!applied || (fault != "none" && !faults.release_without_telling && !faults.release_without_forgetting)) {
    std::fprintf(stderr, "%s\n", applied ? "there is no such fault" : applied.error().context.c_str());
    return 2;
  }
  options.mount_point = ringfs::mount::absolute_mount_point(argv[3]);
  std::vector<std::string> addresses;
  std::istringstream words(argv[2]);
  for (std::string word; std::getline(words, word, ',');) addresses.push_back(word);
  return ringfs::mount::serve_mount(addresses, options, "", -1, faults);
}
