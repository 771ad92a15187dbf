// Puts and gets of one large entry, by a client that costs as little as it can: messages whose tensor bytes are sent
// from where they lie, and received bytes are copied once to their place. It checks nothing.
#ifndef CHUNKKV_TESTS_BENCH_SERVICE_BULK_CLIENT_H_
#define CHUNKKV_TESTS_BENCH_SERVICE_BULK_CLIENT_H_

#include <grpcpp/channel.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "chunkkv/v1/put.pb.h"
#include "service/session/put_request.h"
#include "tests/unit/session/put_prompt.h"

namespace chunkkv::bench {

std::shared_ptr<grpc::Channel> NewChannel(const std::string& address);

// Parts as messages, made (and checksummed) before the clock runs. The prompt must outlive them.
class PreparedPut {
 public:
  // Every layer: scores, then rows, in parts of about 1 MiB.
  PreparedPut(const PutRequest& request, const Prompt& prompt);
  // Under another key; over as many connections as there are channels, layer by layer in turn. Aborts on a failure.
  v1::Committed Run(const std::vector<std::shared_ptr<grpc::Channel>>& channels, uint8_t key) const;
  int64_t size_bytes() const { return size_bytes_; }

 private:
  void Add(const PutRequest& request, const PartHeader& header, const std::byte* bytes, int64_t size_bytes);

  const PutRequest request_;
  std::vector<std::vector<grpc::ByteBuffer>> layers_;
  int64_t size_bytes_ = 0;
};

// Gets the entry under `key` into `to`, and returns how many tensor bytes came.
int64_t RunGet(const std::shared_ptr<grpc::Channel>& channel, const PutRequest& request, uint8_t key,
               std::vector<std::byte>& to);

}  // namespace chunkkv::bench

#endif  // CHUNKKV_TESTS_BENCH_SERVICE_BULK_CLIENT_H_
