#include "tests/support/local_client.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <optional>

#include "service/base/check.h"
#include "service/rpc/wire_bytes.h"
#include "tests/support/host_device_memory.h"

namespace chunkkv {

SharedFile::SharedFile(int64_t size_bytes, bool sparse)
    : size_bytes_(size_bytes), descriptor_(memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING)) {
  CHUNKKV_CHECK(ftruncate(descriptor_.get(), size_bytes) == 0);
  if (!sparse) CHUNKKV_CHECK(fallocate(descriptor_.get(), 0, 0, size_bytes) == 0);
  void* address =
      mmap(nullptr, static_cast<size_t>(size_bytes), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor_.get(), 0);
  CHUNKKV_CHECK(address != MAP_FAILED);
  data_ = static_cast<std::byte*>(address);
}

SharedFile::~SharedFile() { munmap(data_, static_cast<size_t>(size_bytes_)); }

void SharedFile::Truncate(int64_t size_bytes) { CHUNKKV_CHECK(ftruncate(descriptor_.get(), size_bytes) == 0); }

void SharedFile::PunchHole(int64_t offset, int64_t size_bytes) {
  CHUNKKV_CHECK(fallocate(descriptor_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, size_bytes) == 0);
}

LocalClient::LocalClient(const std::string& path) : connection_(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
  const std::optional<sockaddr_un> address = LocalAddress(path);
  CHUNKKV_CHECK(address.has_value());
  if (connect(connection_.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0) Close();
}

ReceivedLocalMessage LocalClient::Ask(uint32_t kind, const Bytes32& token, int descriptor) {
  LocalMessage message;
  message.kind = kind;
  message.token = token;
  if (!SendLocalMessage(connection_.get(), message, descriptor)) return {};
  return ReceiveLocalMessage(connection_.get());
}

ReceivedLocalMessage LocalClient::Map(const std::string& token) {
  return Ask(LocalMessage::kMap, *FixedFromView<32>(token), -1);
}

ReceivedLocalMessage LocalClient::Get(const std::string& request) {
  LocalMessage message;
  message.kind = LocalMessage::kGet;
  if (!SendLocalMessage(connection_.get(), message, -1, request)) return {};
  return ReceiveLocalMessage(connection_.get());
}

void LocalClient::Release(const std::string& token) {
  LocalMessage message;
  message.kind = LocalMessage::kRelease;
  message.token = *FixedFromView<32>(token);
  CHUNKKV_CHECK(SendLocalMessage(connection_.get(), message, -1));
}

std::string LocalClient::ReasonOf(const ReceivedLocalMessage& answer) {
  if (!answer.message) return "closed";
  return answer.message->kind == LocalMessage::kError ? LocalErrorReason(*answer.message) : "";
}

std::string RegisterFile(LocalClient& client, v1::KvCacheService::Stub& stub, const SharedFile& file,
                         int64_t size_bytes, RegionKind kind) {
  v1::RegisterRegionRequest request;
  request.set_size_bytes(size_bytes);
  const int descriptor = kind == RegionKind::kCudaIpc ? -1 : file.descriptor();
  const std::string token = rpc::ToString(client.Offer(descriptor));
  if (kind == RegionKind::kCudaDescriptors) {
    request.set_kind(v1::RegisterRegionRequest::CUDA_POSIX_DESCRIPTOR);
    request.add_segments()->set_token(token);
    request.mutable_segments(0)->set_size_bytes(size_bytes);
  } else {
    request.set_token(token);
    request.set_kind(v1::RegisterRegionRequest::SHARED_MEMORY);
  }
  if (kind == RegionKind::kCudaIpc) {
    request.set_kind(v1::RegisterRegionRequest::CUDA_IPC);
    const IpcHandle handle = HostDeviceMemory::HandleOf(file.descriptor(), static_cast<size_t>(size_bytes));
    request.set_cuda_ipc_handle(handle.data(), handle.size());
  }
  v1::RegisterRegionResponse response;
  grpc::ClientContext context;
  return stub.RegisterRegion(&context, request, &response).ok() ? response.region_id() : "";
}

}  // namespace chunkkv
