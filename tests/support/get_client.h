// Gets over the wire, checked as a client library checks them.
#ifndef CHUNKKV_TESTS_SUPPORT_GET_CLIENT_H_
#define CHUNKKV_TESTS_SUPPORT_GET_CLIENT_H_

#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "chunkkv/v1/get.pb.h"
#include "service/session/put_request.h"
#include "tests/support/raw_stream.h"
#include "tests/unit/session/put_prompt.h"

namespace chunkkv {

struct GotEntry {
  RpcEnd end;
  v1::GetHeader header;
  bool has_header = false;
  // (layer, wire tensor kind, name) -> bytes
  std::map<std::tuple<int32_t, int, std::string>, Bytes> tensors;
  std::vector<int32_t> ended_layers;
  // What is wrong with the stream itself: order, ranges, checksums, digests. Empty: nothing.
  std::string fault;

  const Bytes& tensor(int32_t layer, v1::TensorKind kind, const std::string& name = "") const;
};

// Rows of `layer`, an attention layer.
int64_t RowsOf(const v1::GetHeader& header, int32_t layer);

// Room in a region for all of an entry that is put as `put` says, one tensor after the other.
v1::GetCacheRequest::Target DenseTarget(const std::string& region_id, const PutRequest& put);

v1::GetCacheRequest GetRequestOf(const PutRequest& request);
// `complete` is called with every message before it is looked at: to bring bytes that did not come with it.
GotEntry GetAll(std::shared_ptr<grpc::Channel> channel, const v1::GetCacheRequest& request,
                const std::function<void(v1::GetCacheResponse&)>& complete = nullptr);

// Fails the test unless `got` is the whole of `prompt` at `kept` positions (per group), in order, byte for byte.
void ExpectServed(const GotEntry& got, const PutRequest& request, const Prompt& prompt,
                  const std::vector<std::vector<int32_t>>& kept);

}  // namespace chunkkv

#endif  // CHUNKKV_TESTS_SUPPORT_GET_CLIENT_H_
