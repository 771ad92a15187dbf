// Puts from, and gets into, memory that is lent to the server; mapped gets. As little as a client can do; it checks
// nothing but that calls succeed.
#ifndef CHUNKKV_TESTS_BENCH_SERVICE_LOCAL_BULK_CLIENT_H_
#define CHUNKKV_TESTS_BENCH_SERVICE_LOCAL_BULK_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/types/span.h"
#include "chunkkv/v1/kv_cache_service.grpc.pb.h"
#include "service/session/put_request.h"
#include "tests/support/local_client.h"
#include "tests/unit/session/put_prompt.h"

namespace chunkkv::bench {

class LocalBulkClient {
 public:
  // A region of `size_bytes`, touched.
  LocalBulkClient(v1::KvCacheService::Stub& stub, const std::string& socket_path, int64_t size_bytes);

  // Copies the prompt's rows to the region, one tensor after the other from its begin.
  void Load(const PutRequest& request, const Prompt& prompt);
  // What was loaded last, under another key: scores inline, each tensor of each layer as one part.
  v1::Committed Put(const PutRequest& request, const Prompt& prompt, uint8_t key);
  // The full entry under `key` into the region, from its begin.
  void GetInto(const PutRequest& request, uint8_t key);

  // An entry's bytes, mapped; unmapped and released on destruction.
  class Mapped {
   public:
    Mapped(LocalClient& client, const v1::Mapping& mapping, const FileDescriptor& descriptor);
    ~Mapped();
    absl::Span<const std::byte> bytes() const { return bytes_; }

   private:
    LocalClient& client_;
    const std::string token_;
    absl::Span<const std::byte> bytes_;
  };
  // By a call over gRPC, and the descriptor from the local socket.
  std::unique_ptr<Mapped> GetMapped(const PutRequest& request, uint8_t key);
  // On the local socket alone, once something was mapped.
  std::unique_ptr<Mapped> GetMappedLocally(const PutRequest& request, uint8_t key);

  absl::Span<std::byte> region() { return file_.bytes(); }

 private:
  std::string NextTransfer() { return "transfer " + std::to_string(++last_transfer_); }

  v1::KvCacheService::Stub& stub_;
  LocalClient client_;
  SharedFile file_;
  std::string region_id_;
  int64_t last_transfer_ = 0;
};

}  // namespace chunkkv::bench

#endif  // CHUNKKV_TESTS_BENCH_SERVICE_LOCAL_BULK_CLIENT_H_
