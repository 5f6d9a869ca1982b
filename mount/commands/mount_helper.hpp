// `ringfs` as the program that mount(8) runs for a line of fstab, translated into `ringfs mount`.
//
// mount(8) runs /sbin/mount.TYPE SOURCE DIRECTORY [-sfnv] [-o OPTIONS] [-t TYPE] (man 8 mount, "external helpers"): a
// link to ringfs by the name mount.ringfs or mount.fuse.ringfs does. Without one it runs mount.fuse3 for the type
// fuse.ringfs (man 8 mount.fuse3), and that runs `ringfs SOURCE DIRECTORY -o OPTIONS`. Threads: pure function.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "dht/base/error.hpp"

namespace ringfs::mount {

struct HelperCall {
  std::vector<std::string> arguments;  // of `ringfs`
  bool fake = false;                   // -f: everything but the mount
};

// `arguments` with the program's name. No value: an ordinary call of `ringfs`, whose commands are `commands`. Errors:
// invalid_argument.
Result<std::optional<HelperCall>> parse_helper_call(const std::vector<std::string>& arguments,
                                                    const std::vector<std::string>& commands);

}  // namespace ringfs::mount
