#include "service/transfer/region/shared_memory.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "service/base/check.h"
#include "service/base/status_macros.h"
#include "service/transfer/region/guarded.h"
#include "service/transfer/region/row_copies.h"

namespace chunkkv {
namespace {

// Bytes between two looks at `cancelled`: about a millisecond.
constexpr int64_t kSliceBytes = int64_t{8} << 20;
constexpr int64_t kStatBlockBytes = 512;

absl::Status Lost() {
  return FailedPrecondition("REGION_LOST", "the region's memory was truncated, punched or starved while it was in use");
}

bool IsPopulated(int descriptor, int64_t size_bytes) {
  struct stat status;
  if (fstat(descriptor, &status) != 0) return false;
  return status.st_size >= size_bytes && status.st_blocks * kStatBlockBytes >= size_bytes;
}

bool IsFileInMemory(int descriptor) {
  struct stat file;
  struct statfs system;
  if (fstat(descriptor, &file) != 0 || fstatfs(descriptor, &system) != 0) return false;
  return S_ISREG(file.st_mode) && (system.f_type == TMPFS_MAGIC || system.f_type == HUGETLBFS_MAGIC);
}

}  // namespace

absl::StatusOr<std::shared_ptr<SharedMemory>> SharedMemory::Map(FileDescriptor descriptor, int64_t size_bytes) {
  if (size_bytes <= 0) return InvalidArgument("BAD_REGION_SIZE", absl::StrCat("size_bytes is ", size_bytes));
  const int access = fcntl(descriptor.get(), F_GETFL);
  if (!IsFileInMemory(descriptor.get()) || access < 0 || (access & O_ACCMODE) == O_WRONLY || (access & O_PATH) != 0) {
    return FailedPrecondition("NOT_SHARED_MEMORY", "the descriptor is no readable memfd or file of a tmpfs");
  }
  if (!IsPopulated(descriptor.get(), size_bytes)) {
    return FailedPrecondition("REGION_NOT_POPULATED", "the file is smaller, or has holes: allocate it with fallocate");
  }
  bool is_writable = (access & O_ACCMODE) == O_RDWR;
  const auto map = [&](int protection) {
    return mmap(nullptr, static_cast<size_t>(size_bytes), protection, MAP_SHARED | MAP_NORESERVE, descriptor.get(), 0);
  };
  void* address = is_writable ? map(PROT_READ | PROT_WRITE) : MAP_FAILED;
  if (address == MAP_FAILED) {
    is_writable = false;
    address = map(PROT_READ);
  }
  if (address == MAP_FAILED) {
    return ErrorStatus(absl::StatusCode::kResourceExhausted, "OUT_OF_MEMORY", "the region cannot be mapped");
  }
  return std::shared_ptr<SharedMemory>(
      new SharedMemory(std::move(descriptor), static_cast<std::byte*>(address), size_bytes, is_writable));
}

SharedMemory::SharedMemory(FileDescriptor descriptor, std::byte* data, int64_t size_bytes, bool is_writable)
    : descriptor_(std::move(descriptor)), data_(data), size_bytes_(size_bytes), is_writable_(is_writable) {}

SharedMemory::~SharedMemory() { CHUNKKV_CHECK(munmap(data_, static_cast<size_t>(size_bytes_)) == 0); }

absl::Status SharedMemory::CheckPopulated() const {
  return IsPopulated(descriptor_.get(), size_bytes_) ? absl::OkStatus() : Lost();
}

template <typename Work>
absl::Status SharedMemory::Guarded(Work work) const {
  return RunGuarded({data_, static_cast<size_t>(size_bytes_)}, work) ? absl::OkStatus() : Lost();
}

absl::Status SharedMemory::Copy(const std::byte* from, std::byte* to, size_t size, const Cancelled& cancelled) const {
  CHUNKKV_RETURN_IF_ERROR(CheckPopulated());
  for (size_t at = 0; at < size; at += kSliceBytes) {
    CHUNKKV_RETURN_IF_ERROR(CheckWanted(cancelled));
    const size_t slice = std::min<size_t>(kSliceBytes, size - at);
    CHUNKKV_RETURN_IF_ERROR(Guarded([&] { std::memcpy(to + at, from + at, slice); }));
  }
  return absl::OkStatus();
}

absl::Status SharedMemory::Read(int64_t offset, absl::Span<std::byte> to, const Cancelled& cancelled) const {
  return Copy(data_ + offset, to.data(), to.size(), cancelled);
}

absl::Status SharedMemory::Write(absl::Span<const std::byte> from, int64_t offset, const Cancelled& cancelled) const {
  CHUNKKV_CHECK(is_writable_);
  return Copy(from.data(), data_ + offset, from.size(), cancelled);
}

absl::Status SharedMemory::ReadRows(const PeerRows& from, absl::Span<const RowRun> runs, const RowTarget& to,
                                    const Cancelled& cancelled) const {
  CHUNKKV_RETURN_IF_ERROR(CheckPopulated());
  const int64_t slice_rows = std::max<int64_t>(1, kSliceBytes / from.RowBytes());
  RunCursor cursor(runs);
  int64_t row = 0;
  while (!cursor.AtEnd()) {
    CHUNKKV_RETURN_IF_ERROR(CheckWanted(cancelled));
    int64_t copied = 0;
    RunCursor next = cursor;
    CHUNKKV_RETURN_IF_ERROR(Guarded([&] {
      while (copied < slice_rows && !next.AtEnd()) {
        const RowRun run = next.Take(slice_rows - copied);
        CopyFromPeer(data_, from, run, to, row + copied);
        copied += run.count;
      }
    }));
    cursor = next;
    row += copied;
  }
  return absl::OkStatus();
}

absl::Status SharedMemory::WriteRows(absl::Span<const std::byte> from, const PeerRows& to, int64_t first_row,
                                     const Cancelled& cancelled) const {
  CHUNKKV_CHECK(is_writable_);
  CHUNKKV_RETURN_IF_ERROR(CheckPopulated());
  const int64_t row_bytes = to.RowBytes();
  const auto count = static_cast<int64_t>(from.size()) / row_bytes;
  const int64_t slice_rows = std::max<int64_t>(1, kSliceBytes / row_bytes);
  for (int64_t at = 0; at < count; at += slice_rows) {
    CHUNKKV_RETURN_IF_ERROR(CheckWanted(cancelled));
    const RowRun run = {first_row + at, std::min(slice_rows, count - at)};
    CHUNKKV_RETURN_IF_ERROR(Guarded([&] { CopyToPeer(from.data() + at * row_bytes, to, run, data_); }));
  }
  return absl::OkStatus();
}

}  // namespace chunkkv
