#include "tests/support/host_device_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <new>
#include <string>

#include "chunkkv/kernels/status.h"
#include "tests/support/host_device_handle.h"

namespace chunkkv {
namespace {

constexpr std::align_val_t kAlignment{256};
constexpr int kGarbage = 0xff;

absl::Status OutOfMemoryStatus() {
  return ErrorStatus(absl::StatusCode::kResourceExhausted, "DEVICE_MEMORY_EXHAUSTED", "the device's memory is full");
}

[[noreturn]] void Fail(const char* text) {
  std::fprintf(stderr, "HostDeviceMemory: %s\n", text);
  std::abort();
}

}  // namespace

HostDeviceMemory::~HostDeviceMemory() {
  if (held_count_ != 0) Fail("blocks, slabs, imported memory, registrations or streams were not given back");
}

absl::Status HostDeviceMemory::CheckCall() {
  ++call_count_;
  if (calls_left_ >= 0 && calls_left_-- == 0) is_broken_ = true;
  if (!is_broken_) return absl::OkStatus();
  return ErrorStatus(absl::StatusCode::kInternal, "CUDA_ERROR", "the device is broken");
}

absl::Status HostDeviceMemory::CheckAllocation() {
  if (absl::Status status = CheckCall(); !status.ok()) return status;
  if (is_out_of_memory_) return OutOfMemoryStatus();
  if (allocations_left_ >= 0 && allocations_left_-- == 0) return OutOfMemoryStatus();
  ++allocation_count_;
  return absl::OkStatus();
}

absl::StatusOr<void*> HostDeviceMemory::Allocate(size_t bytes) {
  if (absl::Status status = CheckAllocation(); !status.ok()) return status;
  ++held_count_;
  return std::memset(::operator new(bytes, kAlignment), kGarbage, bytes);
}

void HostDeviceMemory::Free(void* memory) {
  --held_count_;
  ::operator delete(memory, kAlignment);
}

absl::StatusOr<void*> HostDeviceMemory::AllocatePinned(size_t bytes) { return Allocate(bytes); }
void HostDeviceMemory::FreePinned(void* memory) { Free(memory); }

absl::StatusOr<void*> HostDeviceMemory::AllocateSlab(size_t bytes) {
  if (bytes == 0 || bytes % kSlabGranularityBytes != 0) Fail("a slab of no multiple of the granularity");
  if (absl::Status status = CheckAllocation(); !status.ok()) return status;
  const int descriptor = memfd_create("slab", MFD_CLOEXEC);
  if (descriptor < 0 || ftruncate(descriptor, static_cast<off_t>(bytes)) != 0) Fail("no memory for a slab");
  void* const slab = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  if (slab == MAP_FAILED) Fail("no addresses for a slab");
  ++held_count_;
  slab_bytes_ += static_cast<int64_t>(bytes);
  const std::lock_guard<std::mutex> lock(mutex_);
  slabs_[slab] = {descriptor, bytes};
  return std::memset(slab, kGarbage, bytes);
}

void HostDeviceMemory::FreeSlab(void* slab) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = slabs_.find(slab);
  if (found == slabs_.end()) Fail("a slab that is none");
  munmap(slab, found->second.bytes);
  close(found->second.descriptor);
  slab_bytes_ -= static_cast<int64_t>(found->second.bytes);
  --held_count_;
  slabs_.erase(found);
}

void HostDeviceMemory::DamageSlabs() {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& [slab, unused] : slabs_) *static_cast<std::byte*>(slab) ^= std::byte{1};
}

absl::StatusOr<int> HostDeviceMemory::ExportDescriptor(void* slab) {
  if (absl::Status status = CheckCall(); !status.ok()) return status;
  const std::lock_guard<std::mutex> lock(mutex_);
  return fcntl(slabs_.at(slab).descriptor, F_DUPFD_CLOEXEC, 0);
}

IpcHandle HostDeviceMemory::HandleOf(int descriptor, size_t bytes) {
  const HostDeviceHandle fields = {HostDeviceHandle::kMagic, getpid(), descriptor, bytes};
  IpcHandle handle{};
  std::memcpy(handle.data(), &fields, sizeof fields);
  return handle;
}

absl::StatusOr<ImportedMemory> HostDeviceMemory::ImportHandle(const IpcHandle& handle) {
  if (absl::Status status = CheckCall(); !status.ok()) return status;
  HostDeviceHandle fields;
  std::memcpy(&fields, handle.data(), sizeof fields);
  const bool is_ours = fields.magic == HostDeviceHandle::kMagic;
  const std::string path = "/proc/" + std::to_string(fields.process) + "/fd/" + std::to_string(fields.descriptor);
  const ExportedSegment segment = {is_ours ? open(path.c_str(), O_RDWR | O_CLOEXEC) : -1, fields.bytes};
  if (segment.descriptor < 0) return FailedPrecondition("NOT_IPC_MEMORY", "a handle of nothing");
  absl::StatusOr<ImportedMemory> imported = ImportSegments({&segment, 1});
  close(segment.descriptor);
  return imported;
}

absl::StatusOr<ImportedMemory> HostDeviceMemory::ImportSegments(absl::Span<const ExportedSegment> segments) {
  if (absl::Status status = CheckAllocation(); !status.ok()) return status;
  ImportedMemory imported;
  for (const ExportedSegment& segment : segments) imported.bytes += segment.bytes;
  void* const reserved = mmap(nullptr, imported.bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (reserved == MAP_FAILED) Fail("no addresses for segments");
  imported.data = static_cast<std::byte*>(reserved);
  std::byte* at = imported.data;
  for (const ExportedSegment& segment : segments) {
    struct stat file;
    const bool is_exported =
        fstat(segment.descriptor, &file) == 0 && static_cast<size_t>(file.st_size) == segment.bytes &&
        mmap(at, segment.bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, segment.descriptor, 0) != MAP_FAILED;
    at += segment.bytes;
    if (is_exported) continue;
    munmap(reserved, imported.bytes);
    return FailedPrecondition("NOT_DEVICE_MEMORY", "not a segment of this size");
  }
  ++held_count_;
  const std::lock_guard<std::mutex> lock(mutex_);
  imported_[imported.data] = imported.bytes;
  return imported;
}

void HostDeviceMemory::CloseImported(std::byte* data) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = imported_.find(data);
  if (found == imported_.end()) Fail("imported memory that is none");
  munmap(data, found->second);
  imported_.erase(found);
  --held_count_;
}

int HostDeviceMemory::imported_count() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return static_cast<int>(imported_.size());
}

absl::Status HostDeviceMemory::RegisterHost(void* memory, size_t bytes) {
  if (absl::Status status = CheckAllocation(); !status.ok()) return status;
  const auto* const begin = static_cast<const std::byte*>(memory);
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto next = registered_.lower_bound(begin);
  if (next != registered_.end() && next->first < begin + bytes) Fail("registrations overlap");
  if (next != registered_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second > begin) Fail("registrations overlap");
  }
  ++held_count_;
  registered_[begin] = bytes;
  return absl::OkStatus();
}

void HostDeviceMemory::UnregisterHost(void* memory) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (registered_.erase(static_cast<const std::byte*>(memory)) == 0) Fail("a registration that is none");
  --held_count_;
}

int HostDeviceMemory::registration_count() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return static_cast<int>(registered_.size());
}

absl::StatusOr<void*> HostDeviceMemory::CreateStream() {
  if (absl::Status status = CheckCall(); !status.ok()) return status;
  ++held_count_;
  return static_cast<void*>(this);
}
void HostDeviceMemory::DestroyStream(void*) { --held_count_; }

absl::Status HostDeviceMemory::CopyAsync(void* to, const void* from, size_t bytes, void*) {
  if (absl::Status status = CheckCall(); !status.ok()) return status;
  if (bytes > 0) std::memcpy(to, from, bytes);
  return absl::OkStatus();
}

absl::Status HostDeviceMemory::Synchronize(void*) { return CheckCall(); }

}  // namespace chunkkv
