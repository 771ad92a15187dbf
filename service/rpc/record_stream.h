// One RecordScores.
#ifndef CHUNKKV_SERVICE_RPC_RECORD_STREAM_H_
#define CHUNKKV_SERVICE_RPC_RECORD_STREAM_H_

#include <cstdint>
#include <memory>

#include "chunkkv/v1/scores.pb.h"
#include "service/rpc/event_stream.h"
#include "service/session/score_recorder.h"

namespace chunkkv::rpc {

// Sends the token scores of puts as they are committed, and ends after as many as were asked for.
class RecordStream final : public EventStream {
 public:
  RecordStream(RpcContext& context, grpc::CallbackServerContext* call_context)
      : EventStream(context, call_context, "RecordScores") {}

 private:
  absl::Status Begin(const grpc::ByteBuffer& request) override;
  void SendSome() override;
  void SendSkipped();
  // Takes the next put; false where there is none.
  bool BeginPut();
  void SendScores();
  int32_t LayerCount() const { return static_cast<int32_t>(put_->layers.size()); }

  std::shared_ptr<ScoreRecording> recording_;
  ScoreRecording::Skipped told_;
  int32_t puts_left_ = 0;
  RecordedPutPtr put_;  // being sent, from token `next_token_` of `next_layer_` on
  int32_t next_layer_ = 0;
  int64_t next_token_ = 0;
};

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_RECORD_STREAM_H_
