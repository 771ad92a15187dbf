#include "service/memory/buffer.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

#include "chunkkv/kernels/status.h"
#include "service/base/check.h"

namespace chunkkv {
namespace {

constexpr int64_t kHugePageBytes = int64_t{2} << 20;

int64_t PageBytes() {
  static const int64_t page_bytes = sysconf(_SC_PAGESIZE);
  return page_bytes;
}

std::byte* Map(int64_t bytes) {
  void* address = mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return address == MAP_FAILED ? nullptr : static_cast<std::byte*>(address);
}

void Unmap(std::byte* begin, std::byte* end) {
  if (begin == end) return;
  const auto size = static_cast<size_t>(end - begin);
  if (munmap(begin, size) == 0) return;
  // Cutting a hole can exceed the system's number of mappings: then the addresses are lost, but not the memory.
  CHUNKKV_CHECK(madvise(begin, size, MADV_DONTNEED) == 0);
}

// Begins at a huge page's boundary, so that all but the end can be huge pages; what lies around it is unmapped at once.
std::byte* MapForHugePages(int64_t bytes) {
  std::byte* const mapped = Map(bytes + kHugePageBytes);
  if (mapped == nullptr) return nullptr;
  const auto address = reinterpret_cast<uintptr_t>(mapped);
  std::byte* const begin = mapped + (kHugePageBytes - address % kHugePageBytes) % kHugePageBytes;
  Unmap(mapped, begin);
  Unmap(begin + bytes, mapped + bytes + kHugePageBytes);
  // Only a hint: where it is refused, small pages serve. The kernel never puts a huge page over a mapping's end, so no
  // more than `bytes` become resident.
  madvise(begin, static_cast<size_t>(bytes), MADV_HUGEPAGE);
  return begin;
}

// A file in memory of its own; -1 where there is none to be had.
int MakeFile(int64_t bytes) {
  const int descriptor = memfd_create("chunkkv-entry", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (descriptor >= 0 && ftruncate(descriptor, bytes) != 0) {
    close(descriptor);
    return -1;
  }
  return descriptor;
}

std::byte* MapFile(int descriptor, int64_t bytes) {
  if (descriptor < 0) return nullptr;
  void* address = mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  return address == MAP_FAILED ? nullptr : static_cast<std::byte*>(address);
}

}  // namespace

int64_t Buffer::ChargedBytes(int64_t size_bytes) {
  CHUNKKV_CHECK(size_bytes >= 0);
  if (size_bytes > INT64_MAX - PageBytes()) return INT64_MAX;
  return (size_bytes + PageBytes() - 1) / PageBytes() * PageBytes();
}

absl::StatusOr<Buffer> Buffer::Allocate(int64_t size_bytes, BudgetShare share, Kind kind) {
  const int64_t charged = ChargedBytes(size_bytes);
  CHUNKKV_CHECK(share.bytes() >= charged);
  share.Shrink(share.bytes() - charged);
  Buffer buffer;
  buffer.share_ = std::move(share);
  if (size_bytes == 0) return buffer;
  if (kind == Kind::kShareable) {
    buffer.descriptor_ = MakeFile(charged);
    buffer.data_ = MapFile(buffer.descriptor_, charged);
  } else {
    buffer.data_ = charged >= kHugePageBytes ? MapForHugePages(charged) : Map(charged);
  }
  if (buffer.data_ == nullptr) {
    return ErrorStatus(absl::StatusCode::kResourceExhausted, "OUT_OF_MEMORY", "the system has no memory to map");
  }
  buffer.size_bytes_ = size_bytes;
  return buffer;
}

absl::Status Buffer::Seal() {
  CHUNKKV_CHECK(descriptor_ >= 0);
  if (fcntl(descriptor_, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0) {
    return absl::OkStatus();
  }
  return ErrorStatus(absl::StatusCode::kInternal, "SEAL", "shareable memory cannot be sealed");
}

Buffer::Buffer(Buffer&& other) noexcept { *this = std::move(other); }

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this != &other) {
    Free();
    data_ = std::exchange(other.data_, nullptr);
    size_bytes_ = std::exchange(other.size_bytes_, 0);
    descriptor_ = std::exchange(other.descriptor_, -1);
    share_ = std::move(other.share_);
  }
  return *this;
}

Buffer::~Buffer() { Free(); }

void Buffer::Free() {
  // Before the share goes back: the budget never counts less than what is resident.
  if (data_ != nullptr) Unmap(data_, data_ + ChargedBytes(size_bytes_));
  if (descriptor_ >= 0) close(std::exchange(descriptor_, -1));
  data_ = nullptr;
  size_bytes_ = 0;
  share_.Release();
}

}  // namespace chunkkv
