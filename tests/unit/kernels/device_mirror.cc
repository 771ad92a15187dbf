#include "tests/unit/kernels/device_mirror.h"

#include <cstdlib>
#include <iterator>
#include <utility>

namespace chunkkv::testing {

DeviceMirror::~DeviceMirror() {
  for (const auto& [host, range] : ranges_) memory_.Free(range.device);
}

const void* DeviceMirror::Mirror(const void* host, size_t bytes) {
  if (host == nullptr) return nullptr;
  const auto* begin = static_cast<const std::byte*>(host);
  const auto after = ranges_.upper_bound(begin);
  if (after != ranges_.begin()) {
    const auto& [first, range] = *std::prev(after);
    if (begin + bytes <= first + range.bytes) return static_cast<std::byte*>(range.device) + (begin - first);
  }
  void* device = memory_.Allocate(bytes).value();
  Copy(device, host, bytes);
  const auto [at, is_new] = ranges_.try_emplace(begin, Range{bytes, device});
  if (!is_new) memory_.Free(std::exchange(at->second, Range{bytes, device}).device);
  return device;
}

void DeviceMirror::Copy(void* to, const void* from, size_t bytes) {
  if (!memory_.CopyAsync(to, from, bytes, stream_).ok() || !memory_.Synchronize(stream_).ok()) std::abort();
}

void DeviceMirror::CopyBack() {
  for (const Output& output : outputs_) Copy(output.host, output.device, output.bytes);
}

}  // namespace chunkkv::testing
