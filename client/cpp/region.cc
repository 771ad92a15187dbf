#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "chunkkv/kernels/status.h"
#include "client/cpp/call.h"
#include "client/cpp/convert.h"
#include "client/cpp/local_connection.h"
#include "client/cpp/region_impl.h"
#include "service/base/status_macros.h"

namespace chunkkv::client {
namespace {

absl::Status OutOfMemory(const char* what) {
  return ErrorStatus(absl::StatusCode::kResourceExhausted, "OUT_OF_MEMORY",
                     std::string("no memory for the region: ") + what + ": " + std::strerror(errno));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Region::Impl>> Region::Impl::Allocate(Client::Impl& client, int64_t size_bytes) {
  // A file in memory has no limit of its own: the machine would give pages until it has none.
  const int64_t machine_bytes = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  if (size_bytes <= 0 || size_bytes > machine_bytes) {
    return InvalidArgument("BAD_REGION_SIZE", "a region has at least one byte, and no more than the machine");
  }
  std::unique_ptr<Impl> impl(new Impl(client));
  CHUNKKV_RETURN_IF_ERROR(impl->Lend(size_bytes));
  client.AddRegion(impl.get());
  return impl;
}

absl::Status Region::Impl::Lend(int64_t size_bytes) {
  FileDescriptor file(memfd_create("chunkkv-region", MFD_CLOEXEC));
  if (!file.is_open() || ftruncate(file.get(), size_bytes) != 0) return OutOfMemory("memfd");
  if (fallocate(file.get(), 0, 0, size_bytes) != 0) return OutOfMemory("fallocate");
  void* const address =
      mmap(nullptr, static_cast<size_t>(size_bytes), PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  if (address == MAP_FAILED) return OutOfMemory("mmap");
  bytes_ = {static_cast<std::byte*>(address), static_cast<size_t>(size_bytes)};
  is_mapped_ = true;
  CHUNKKV_ASSIGN_OR_RETURN(const std::shared_ptr<LocalConnection> local, client_.Local());
  CHUNKKV_ASSIGN_OR_RETURN(const Bytes32 token, local->Offer(file.get()));
  v1::RegisterRegionRequest request;
  request.set_kind(v1::RegisterRegionRequest::SHARED_MEMORY);
  request.set_token(ToString(token));
  return Register(std::move(request));
}

absl::StatusOr<std::unique_ptr<Region::Impl>> Region::Impl::LendDevice(Client::Impl& client, void* data,
                                                                       int64_t size_bytes) {
  if (size_bytes <= 0) return InvalidArgument("BAD_REGION_SIZE", "a region has at least one byte");
  CHUNKKV_ASSIGN_OR_RETURN(const CudaDriver* driver, CudaDriver::Get());
  CHUNKKV_ASSIGN_OR_RETURN(const ExportedMemory exported,
                           Export(*driver, reinterpret_cast<uint64_t>(data), size_bytes));
  std::unique_ptr<Impl> impl(new Impl(client));
  impl->bytes_ = {static_cast<std::byte*>(data), static_cast<size_t>(size_bytes)};
  CHUNKKV_RETURN_IF_ERROR(impl->LendExported(exported));
  client.AddRegion(impl.get());
  return impl;
}

absl::Status Region::Impl::LendExported(const ExportedMemory& exported) {
  CHUNKKV_ASSIGN_OR_RETURN(const std::shared_ptr<LocalConnection> local, client_.Local());
  v1::RegisterRegionRequest request;
  if (!exported.ipc_handle.empty()) {
    CHUNKKV_ASSIGN_OR_RETURN(const Bytes32 token, local->Offer(-1));
    request.set_kind(v1::RegisterRegionRequest::CUDA_IPC);
    request.set_token(ToString(token));
    request.set_cuda_ipc_handle(exported.ipc_handle);
    request.set_cuda_ipc_offset_bytes(exported.offset_bytes);
    return Register(std::move(request));
  }
  request.set_kind(v1::RegisterRegionRequest::CUDA_POSIX_DESCRIPTOR);
  request.set_segments_offset_bytes(exported.offset_bytes);
  for (const ExportedMemory::Segment& segment : exported.segments) {
    CHUNKKV_ASSIGN_OR_RETURN(const Bytes32 token, local->Offer(segment.descriptor.get()));
    v1::RegisterRegionRequest::Segment* wire = request.add_segments();
    wire->set_token(ToString(token));
    wire->set_size_bytes(segment.size_bytes);
  }
  return Register(std::move(request));
}

absl::Status Region::Impl::Register(v1::RegisterRegionRequest request) {
  request.set_size_bytes(static_cast<int64_t>(bytes_.size()));
  v1::RegisterRegionResponse response;
  CallContext context(client_.metadata(), CallOptions{});
  const grpc::Status status = client_.stub().RegisterRegion(context.get(), request, &response);
  if (!status.ok()) return context.Convert(status);
  id_ = response.region_id();
  return absl::OkStatus();
}

Region::Impl::~Impl() {
  client_.RemoveRegion(this);
  if (!id_.empty()) {
    // Where it fails, the server is gone, and with it everything that touched the region.
    v1::UnregisterRegionRequest request;
    request.set_region_id(id_);
    v1::UnregisterRegionResponse response;
    CallContext context(client_.metadata(), CallOptions{});
    client_.stub().UnregisterRegion(context.get(), request, &response);
  }
  if (is_mapped_) munmap(bytes_.data(), bytes_.size());
}

Region::Region(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Region::~Region() = default;
absl::Span<std::byte> Region::bytes() const { return impl_->bytes(); }

absl::StatusOr<std::unique_ptr<Region>> Client::AllocateRegion(int64_t size_bytes) {
  CHUNKKV_ASSIGN_OR_RETURN(std::unique_ptr<Region::Impl> region, Region::Impl::Allocate(*impl_, size_bytes));
  return std::make_unique<Region>(std::move(region));
}

absl::StatusOr<std::unique_ptr<Region>> Client::LendDeviceMemory(void* data, int64_t size_bytes) {
  CHUNKKV_ASSIGN_OR_RETURN(std::unique_ptr<Region::Impl> region, Region::Impl::LendDevice(*impl_, data, size_bytes));
  return std::make_unique<Region>(std::move(region));
}

}  // namespace chunkkv::client
