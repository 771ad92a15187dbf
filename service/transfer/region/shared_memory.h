// A region of shared memory: a client's memfd, mapped.
#ifndef CHUNKKV_SERVICE_TRANSFER_REGION_SHARED_MEMORY_H_
#define CHUNKKV_SERVICE_TRANSFER_REGION_SHARED_MEMORY_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "service/format/file_descriptor.h"
#include "service/transfer/region/peer_memory.h"

namespace chunkkv {

// The mapping has the size that was registered, for as long as it lives; what is behind it may shrink or be punched.
// Pages that are not there are never made by reading or writing, so that a client's memory is not charged to this
// process: before each operation the file must have as many bytes allocated as it has when registered.
class SharedMemory final : public PeerMemory {
 public:
  // Maps the first `size_bytes` of a file in memory: a memfd, or a file of a tmpfs, of small or huge pages. Read-only
  // where the descriptor is, or its seals forbid writing. Errors: FAILED_PRECONDITION: NOT_SHARED_MEMORY (another kind
  // of file: its owner could make a read wait for ever), REGION_NOT_POPULATED (smaller, or with holes: allocate it with
  // fallocate), RESOURCE_EXHAUSTED OUT_OF_MEMORY; INVALID_ARGUMENT BAD_REGION_SIZE.
  static absl::StatusOr<std::shared_ptr<SharedMemory>> Map(FileDescriptor descriptor, int64_t size_bytes);
  ~SharedMemory() override;

  int64_t size_bytes() const override { return size_bytes_; }
  bool is_writable() const override { return is_writable_; }
  absl::Status Read(int64_t offset, absl::Span<std::byte> to, const Cancelled& cancelled) const override;
  absl::Status Write(absl::Span<const std::byte> from, int64_t offset, const Cancelled& cancelled) const override;
  absl::Status ReadRows(const PeerRows& from, absl::Span<const RowRun> runs, const RowTarget& to,
                        const Cancelled& cancelled) const override;
  absl::Status WriteRows(absl::Span<const std::byte> from, const PeerRows& to, int64_t first_row,
                         const Cancelled& cancelled) const override;

 private:
  SharedMemory(FileDescriptor descriptor, std::byte* data, int64_t size_bytes, bool is_writable);
  absl::Status CheckPopulated() const;
  // One side is the mapping.
  absl::Status Copy(const std::byte* from, std::byte* to, size_t size, const Cancelled& cancelled) const;
  template <typename Work>
  absl::Status Guarded(Work work) const;

  const FileDescriptor descriptor_;
  std::byte* const data_;
  const int64_t size_bytes_;
  const bool is_writable_;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_TRANSFER_REGION_SHARED_MEMORY_H_
