#include "kernels/cuda/uploader.h"

#include <algorithm>
#include <cstring>

namespace chunkkv::cuda {

Uploader::Uploader(const Stage& stage, void* destination)
    : stage_(stage), destination_(static_cast<uint32_t*>(destination)) {}

const uint32_t* Uploader::AddWords(const void* words, size_t count) {
  const uint32_t* address = destination_ + added_;
  const auto* from = static_cast<const std::byte*>(words);
  while (count > 0) {
    if (added_ - flushed_ == kUploadWords) Flush();
    const size_t at = added_ - flushed_;
    const size_t taken = std::min(count, kUploadWords - at);
    std::memcpy(params_.words + at, from, taken * sizeof(uint32_t));
    added_ += taken;
    from += taken * sizeof(uint32_t);
    count -= taken;
  }
  return address;
}

void Uploader::AlignTo(size_t words) {
  constexpr uint32_t kPadding = 0;
  if (added_ % words != 0) AddWords(&kPadding, 1);
}

void Uploader::Flush() {
  params_.destination = destination_ + flushed_;
  params_.word_count = static_cast<int32_t>(added_ - flushed_);
  flushed_ = added_;
  if (!status_.ok()) return;
  status_ = stage_.Run(Blocks(params_.word_count, UploadKernel::kThreads),
                       [&](const LaunchShape& shape) { return stage_.launcher.Upload(params_, shape); });
}

absl::Status Uploader::Finish() {
  if (added_ > flushed_) Flush();
  return status_;
}

}  // namespace chunkkv::cuda
