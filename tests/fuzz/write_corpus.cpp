// Writes one valid frame of every message into the folder given, as the fuzzer's first corpus.
#include <filesystem>
#include <fstream>
#include <iostream>

#include "tests/fuzz/samples.hpp"

int main(int count, char** arguments) {
  if (count != 2) {
    std::cerr << "usage: write_corpus DIRECTORY\n";
    return 2;
  }
  std::filesystem::path folder = arguments[1];
  std::filesystem::create_directories(folder);
  ringfs::SeededRandom random(1);
  int number = 0;
  for (const ringfs::ReceivedFrame& frame : ringfs::samples::frames(random)) {
    auto header = ringfs::dht::encode_frame_header(frame.header);
    std::ofstream file(folder / ("frame" + std::to_string(number++)), std::ios::binary);
    file.write(header.data(), static_cast<std::streamsize>(header.size()));
    file.write(frame.body.data(), static_cast<std::streamsize>(frame.body.size()));
    if (!file) return 1;
  }
  return 0;
}
