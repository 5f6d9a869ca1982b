// The exception of the store's inner code, and the errors of system calls on its files.
//
// Why an exception: most statements can fail, and a transaction that fails is given up as a whole. It is caught at the
// store's edges, which turn it into a Result; it never leaves nodes/. Threads: plain functions.
#pragma once

#include <exception>
#include <filesystem>
#include <string>

#include "dht/base/error.hpp"

namespace ringfs::nodes {

class StoreFailure : public std::exception {
 public:
  explicit StoreFailure(Error error) : error_(std::move(error)), text_(error_.text()) {}
  StoreFailure(ErrorCode code, std::string context) : StoreFailure(Error{code, std::move(context)}) {}
  const Error& error() const { return error_; }
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  Error error_;
  std::string text_;
};

void or_throw(const Status& status);

// Of a system call on a file: no_space for ENOSPC and EDQUOT, io_error for every other errno.
Error file_error(const std::filesystem::path& file, int error);
[[noreturn]] void file_failed(const std::filesystem::path& file, int error);

// What act() returns. `corrupt` names where() before what is wrong.
template <class Where, class Act>
auto with_place(const Where& where, const Act& act) {
  try {
    return act();
  } catch (const StoreFailure& failure) {
    if (failure.error().code != ErrorCode::corrupt) throw;
    throw StoreFailure(ErrorCode::corrupt, where() + ": " + failure.error().context);
  }
}

}  // namespace ringfs::nodes
