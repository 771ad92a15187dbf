// A client of the local socket that says what it is told to, right or wrong.
#ifndef CHUNKKV_TESTS_SUPPORT_LOCAL_CLIENT_H_
#define CHUNKKV_TESTS_SUPPORT_LOCAL_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/types/span.h"
#include "chunkkv/v1/kv_cache_service.grpc.pb.h"
#include "service/format/file_descriptor.h"
#include "service/format/local_message.h"
#include "service/transfer/region/region_table.h"

namespace chunkkv {

// A memfd and this process's mapping of it.
class SharedFile {
 public:
  // Populated, unless `sparse`.
  explicit SharedFile(int64_t size_bytes, bool sparse = false);
  ~SharedFile();
  SharedFile(const SharedFile&) = delete;
  SharedFile& operator=(const SharedFile&) = delete;

  int descriptor() const { return descriptor_.get(); }
  absl::Span<std::byte> bytes() { return {data_, static_cast<size_t>(size_bytes_)}; }
  void Truncate(int64_t size_bytes);
  void PunchHole(int64_t offset, int64_t size_bytes);

 private:
  const int64_t size_bytes_;
  FileDescriptor descriptor_;
  std::byte* data_ = nullptr;
};

// Blocking. A refused or broken connection answers everything with an empty message.
class LocalClient {
 public:
  explicit LocalClient(const std::string& path);
  int connection() const { return connection_.get(); }
  void Close() { connection_.Close(); }

  // What was answered: the token, or the reason of an error.
  ReceivedLocalMessage Ask(uint32_t kind, const Bytes32& token, int descriptor);
  Bytes32 Offer(int descriptor) { return Ask(LocalMessage::kOffer, {}, descriptor).message->token; }
  ReceivedLocalMessage Map(const std::string& token);
  // `request`: a GetCacheRequest.
  ReceivedLocalMessage Get(const std::string& request);
  void Release(const std::string& token);
  static std::string ReasonOf(const ReceivedLocalMessage& answer);

 private:
  FileDescriptor connection_;
};

// Offers `file` and registers it; the region's id, or empty where that failed. Of other kinds the file stands in for
// device memory (host_device_memory.h): one allocation, of a multiple of 2 MiB where it has a descriptor.
std::string RegisterFile(LocalClient& client, v1::KvCacheService::Stub& stub, const SharedFile& file,
                         int64_t size_bytes, RegionKind kind = RegionKind::kSharedMemory);

}  // namespace chunkkv

#endif  // CHUNKKV_TESTS_SUPPORT_LOCAL_CLIENT_H_
