// The words of mount(8), translated.
#include "mount/commands/mount_helper.hpp"

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "mount/commands/mount_options.hpp"

namespace ringfs::mount {
namespace {

// -s: unknown options are left out instead of refused.
std::string without_unknown(const std::string& options) {
  std::istringstream words(options);
  std::string result;
  for (std::string word; std::getline(words, word, ',');) {
    MountOptions ignored;
    if (apply_mount_options(word, ignored)) result += (result.empty() ? "" : ",") + word;
  }
  return result;
}

bool is_helper_call(const std::vector<std::string>& arguments, const std::vector<std::string>& commands) {
  if (std::filesystem::path(arguments[0]).filename().string().starts_with("mount.")) return true;
  if (arguments.size() < 3 || arguments[1].starts_with('-')) return false;
  return arguments[1].find(':') != std::string::npos &&
         std::find(commands.begin(), commands.end(), arguments[1]) == commands.end();
}

}  // namespace

Result<std::optional<HelperCall>> parse_helper_call(const std::vector<std::string>& arguments,
                                                    const std::vector<std::string>& commands) {
  if (arguments.empty() || !is_helper_call(arguments, commands)) return std::optional<HelperCall>();
  std::vector<std::string> places;
  std::string options;
  bool sloppy = false, fake = false;
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    const bool takes_value = word == "-o" || word == "-t";
    if (takes_value && i + 1 == arguments.size()) return fail(ErrorCode::invalid_argument, word + " needs a value");
    if (word == "-o") {
      options += (options.empty() ? "" : ",") + arguments[++i];
    } else if (word == "-t") {
      ++i;
    } else if (word.size() > 1 && word[0] == '-') {
      for (const char letter : word.substr(1)) {
        if (letter == 's')
          sloppy = true;
        else if (letter == 'f')
          fake = true;
        else if (letter == 'r')
          options += options.empty() ? "ro" : ",ro";
        else if (letter != 'n' && letter != 'v' && letter != 'w') {
          return fail(ErrorCode::invalid_argument, std::string("mount option -") + letter + " is not known here");
        }
      }
    } else {
      places.push_back(word);
    }
  }
  if (places.size() != 2)
    return fail(ErrorCode::invalid_argument,
                "usage: mount.ringfs HOST:PORT[,HOST:PORT] DIRECTORY [-sfnv] [-o OPTIONS]");
  HelperCall call;
  call.fake = fake;
  call.arguments = {arguments[0], "mount", places[0], places[1]};
  if (sloppy) options = without_unknown(options);
  if (!options.empty()) call.arguments.insert(call.arguments.end(), {"-o", options});
  return std::optional<HelperCall>(std::move(call));
}

}  // namespace ringfs::mount
