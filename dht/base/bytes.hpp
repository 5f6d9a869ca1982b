// Byte strings and their encoding.
//
// Keys, sort keys and small values are std::string (bytes, not text). SharedBytes is an immutable,
// reference-counted buffer for what travels through many hands without being copied: file blocks, log
// entries. Reference counts are atomic, so a SharedBytes may cross threads; its bytes never change.
//
// Writer and Reader encode integers in big-endian order and strings with a 32-bit length; they are the
// base of everything that is stored on disk or logged (docs/disk-format.md). A Reader never throws and never
// reads outside its input: after a short read every further value is zero or empty and ok() is false.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace ringfs {

class SharedBytes {
 public:
  SharedBytes() = default;
  SharedBytes(std::string bytes) : bytes_(std::make_shared<const std::string>(std::move(bytes))), view_(*bytes_) {}
  SharedBytes(const char* text) : SharedBytes(std::string(text)) {}
  // A part of a larger buffer, which stays alive.
  SharedBytes(const SharedBytes& whole, std::size_t offset, std::size_t size)
      : bytes_(whole.bytes_), view_(whole.view_.substr(offset, size)) {}

  std::string_view view() const { return view_; }
  std::size_t size() const { return view_.size(); }
  bool empty() const { return view_.empty(); }
  const char* data() const { return view_.data(); }
  std::string str() const { return std::string(view_); }

  friend bool operator==(const SharedBytes& left, const SharedBytes& right) { return left.view_ == right.view_; }

 private:
  std::shared_ptr<const std::string> bytes_;
  std::string_view view_;
};

class Writer {
 public:
  void u8(std::uint8_t value) { bytes_.push_back(static_cast<char>(value)); }
  void u16(std::uint16_t value) { big_endian(value, 2); }
  void u32(std::uint32_t value) { big_endian(value, 4); }
  void u64(std::uint64_t value) { big_endian(value, 8); }
  void i64(std::int64_t value) { u64(static_cast<std::uint64_t>(value)); }
  void boolean(bool value) { u8(value ? 1 : 0); }
  void raw(std::string_view bytes) { bytes_.append(bytes); }
  void string(std::string_view bytes);  // 32-bit length, then the bytes
  void reserve(std::size_t size) { bytes_.reserve(size); }

  std::size_t size() const { return bytes_.size(); }
  const std::string& bytes() const { return bytes_; }
  std::string take() { return std::move(bytes_); }

 private:
  void big_endian(std::uint64_t value, int size);
  std::string bytes_;
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  std::uint8_t u8() { return static_cast<std::uint8_t>(big_endian(1)); }
  std::uint16_t u16() { return static_cast<std::uint16_t>(big_endian(2)); }
  std::uint32_t u32() { return static_cast<std::uint32_t>(big_endian(4)); }
  std::uint64_t u64() { return big_endian(8); }
  std::int64_t i64() { return static_cast<std::int64_t>(u64()); }
  bool boolean() { return u8() != 0; }
  std::string_view raw(std::size_t size);
  std::string_view string();

  // A count read from the input, refused (0 and !ok()) when count * smallest_size exceeds what is left.
  std::size_t count(std::size_t smallest_size);

  std::string_view rest() const { return rest_; }
  bool ok() const { return ok_; }
  bool done() const { return ok_ && rest_.empty(); }  // everything read, nothing short
  void fail() {
    ok_ = false;
    rest_ = {};
  }

 private:
  std::uint64_t big_endian(int size);
  std::string_view rest_;
  bool ok_ = true;
};

// Lower-case hexadecimal.
std::string to_hex(std::string_view bytes);

}  // namespace ringfs
