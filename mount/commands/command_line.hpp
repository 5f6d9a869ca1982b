// The command line `ringfs`. Each file of this folder with a family of commands adds them to the app.
//
// A command's callback puts its work into Commands::action; main runs it and exits with its code.
#pragma once

#include <CLI/CLI.hpp>
#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "dht/base/error.hpp"
#include "dht/net/trust/operator_files.hpp"

namespace ringfs::mount {

enum ExitCode : int { exit_ok = 0, exit_failed = 1, exit_usage = 2, exit_degraded = 3, exit_timeout = 4 };

struct Commands {
  std::function<int()> action;
};

void add_local_commands(CLI::App& app, Commands& commands);      // up, down
void add_mount_commands(CLI::App& app, Commands& commands);      // mount, umount
void add_create_command(CLI::App& app, Commands& commands);      // create
void add_ring_commands(CLI::App& app, Commands& commands);       // status, members, ring, lookup, wait
void add_member_commands(CLI::App& app, Commands& commands);     // add, remove
void add_token_commands(CLI::App& app, Commands& commands);      // token create, list, revoke
void add_client_commands(CLI::App& app, Commands& commands);     // clients list, add, revoke, join
void add_authority_commands(CLI::App& app, Commands& commands);  // authority show, create, rotate, finish
void add_info_command(CLI::App& app, Commands& commands);        // info
void add_doctor_command(CLI::App& app, Commands& commands);      // doctor

// Prints "ringfs: <cause>" and the next command to try on stderr. Returns the exit code for the error.
int report(const Error& error, const std::string& next = {});

void add_output_option(CLI::App& command, std::string& output);  // "table" or "json"
void add_tls_options(CLI::App& command, dht::OperatorFiles& files);
void add_timeout_option(CLI::App& command, int& seconds, int most);

// How a command finds its ring, and how it prints.
struct RingOptions {
  std::string nodes;  // host:port[,host:port]
  std::string state;
  std::string output = "table";
  int timeout_seconds = 10;
  dht::OperatorFiles tls;

  void add_to(CLI::App& command);
  bool json() const { return output == "json"; }
};
// The addresses to start from: those of --node, or of the ring in the state directory. Errors: not_found, corrupt.
Result<std::vector<std::string>> ring_addresses(const RingOptions& options);
// report() for a ring that did not answer, with the next command to try.
int report_asking(const RingOptions& options, const Error& error);
std::vector<std::string> split_list(const std::string& text);

// Rows of cells, the first row a header; columns as wide as they need to be.
void print_table(const std::vector<std::vector<std::string>>& rows);
void print_json(const nlohmann::ordered_json& json);
std::string human_bytes(std::uint64_t bytes);

}  // namespace ringfs::mount
