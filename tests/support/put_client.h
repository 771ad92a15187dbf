// Puts over the wire: prompts of the session tests, sent as any client would, or wrongly.
#ifndef CHUNKKV_TESTS_SUPPORT_PUT_CLIENT_H_
#define CHUNKKV_TESTS_SUPPORT_PUT_CLIENT_H_

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "chunkkv/v1/put.pb.h"
#include "service/session/put_request.h"
#include "tests/support/carrier.h"
#include "tests/support/raw_stream.h"
#include "tests/unit/session/put_prompt.h"

namespace chunkkv {

v1::Begin BeginOf(const PutRequest& request);
// With the right checksum.
v1::PutCacheRequest InlinePart(const PartHeader& header, const Bytes& bytes);
PartHeader RowsPart(const PutRequest& request, int32_t layer, size_t tensor, int64_t begin, int64_t end);

// What a layer is selected from, where there is any: what it is, and its bytes.
std::vector<std::pair<PartTensor, const Bytes*>> ScoreInputsOf(const PromptLayer& layer);
// A part of bytes [begin, end).
PartHeader BytesPart(int32_t layer, PartTensor tensor, int64_t begin, int64_t end);

class PutClient {
 public:
  // `carrier`, which must outlive this, brings the parts; null: they go inline.
  explicit PutClient(std::shared_ptr<grpc::Channel> channel, Carrier* carrier = nullptr)
      : carrier_(carrier), stream_(std::move(channel), "PutCache") {}

  RawStream& stream() { return stream_; }
  bool Send(const v1::PutCacheRequest& message) { return stream_.Send(message); }
  bool SendPart(const PartHeader& header, const Bytes& bytes, const PartShape& shape = {}) {
    return Send(carrier_ == nullptr ? InlinePart(header, bytes) : carrier_->PartOf(header, bytes, shape));
  }

  // Sends `begin` and waits for what is answered: empty where the call has failed.
  std::optional<v1::Begun> Begin(const v1::Begin& begin);
  std::optional<v1::Begun> Begin(const PutRequest& request);
  bool Attach(const std::string& session_id);
  // Attaching is not answered: sends what `layer` is selected from, its scores and keys, and waits until `first`, the
  // session's first stream, is told of the selection. False where that does not come.
  bool AttachAndWait(PutClient& first, const std::string& session_id, const PutRequest& request, const Prompt& prompt,
                     int32_t layer);

  bool SendRows(const PutRequest& request, const Prompt& prompt, int32_t layer, size_t tensor, int64_t begin,
                int64_t end);
  bool SendKeptRows(const PutRequest& request, const Prompt& prompt, int32_t layer, size_t tensor,
                    const std::vector<int32_t>& positions, int64_t begin, int64_t end);
  bool SendNamed(const PutRequest& request, const Prompt& prompt, int32_t layer);
  bool SendScores(const PutRequest& request, const Prompt& prompt, int32_t layer);
  // All of one layer, in the order a LAYER_MAJOR put takes it.
  bool SendLayer(const PutRequest& request, const Prompt& prompt, int32_t layer, int64_t part_tokens);
  bool SendPositions(int32_t group, const std::vector<int32_t>& positions);
  bool SendCommit(const std::string& content_digest = "");

  // Reads on, keeping selections, until the entry is committed or the call has ended.
  std::optional<v1::Committed> ReceiveCommitted();
  // Reads on until `group` is selected; empty where the call has ended.
  std::optional<v1::Selection> ReceiveSelection(int32_t group);
  const std::map<int32_t, v1::Selection>& selections() const { return selections_; }
  // What was said to be consumed, so far.
  const std::vector<v1::Consumed>& consumed() const { return consumed_; }
  RpcEnd Finish() { return stream_.Finish(); }

 private:
  std::optional<v1::PutCacheResponse> Receive();

  Carrier* const carrier_;
  RawStream stream_;
  std::map<int32_t, v1::Selection> selections_;
  std::vector<v1::Consumed> consumed_;
};

struct PutResult {
  RpcEnd end;
  std::optional<v1::Begun> begun;
  std::optional<v1::Committed> committed;
  std::map<int32_t, v1::Selection> selections;
  std::vector<v1::Consumed> consumed;
};

// A whole put in the way that `request` declares, in parts of `part_tokens` tokens.
// `external`: kept positions of each group, for the policy external.
PutResult PutAll(std::shared_ptr<grpc::Channel> channel, const PutRequest& request, const Prompt& prompt,
                 int64_t part_tokens = 1 << 20, const std::vector<std::vector<int32_t>>& external = {},
                 Carrier* carrier = nullptr);

}  // namespace chunkkv

#endif  // CHUNKKV_TESTS_SUPPORT_PUT_CLIENT_H_
