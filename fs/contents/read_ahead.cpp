// Counting and forgetting chunks. FileReader reads them (read.cpp).
#include "fs/contents/read_ahead.hpp"

namespace ringfs::fs {

std::shared_ptr<Event> ReadAhead::begin(OpenInode& open, std::uint64_t chunk) {
  if (chunks_ >= limit || open.read_ahead.contains(chunk)) return nullptr;
  ++chunks_;
  auto arrived = std::make_shared<Event>();
  open.read_ahead[chunk].arrived = arrived;
  return arrived;
}

void ReadAhead::end(OpenInode& open, std::uint64_t chunk, const std::shared_ptr<Event>& arrived,
                    std::shared_ptr<const StoredChunk> stored) {
  auto place = open.read_ahead.find(chunk);
  // Not if it was forgotten meanwhile, and perhaps begun anew.
  if (place != open.read_ahead.end() && place->second.arrived == arrived) {
    place->second.chunk = std::move(stored);
    if (!place->second.chunk) {
      --chunks_;
      open.read_ahead.erase(place);
    }
  }
  arrived->notify();
}

void ReadAhead::forget(OpenInode& open, std::uint64_t chunk) {
  ++open.read_epoch;
  chunks_ -= open.read_ahead.erase(chunk);
}

void ReadAhead::forget(OpenInode& open) {
  ++open.read_epoch;
  chunks_ -= open.read_ahead.size();
  open.read_ahead.clear();
}

void ReadAhead::forget_before(OpenInode& open, std::uint64_t chunk) {
  chunks_ -= std::erase_if(open.read_ahead,
                           [chunk](const auto& cached) { return cached.first < chunk && cached.second.chunk; });
}

}  // namespace ringfs::fs
