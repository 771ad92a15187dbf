// What a get sends after its header, message by message.
#ifndef CHUNKKV_SERVICE_RPC_MESSAGE_SOURCE_H_
#define CHUNKKV_SERVICE_RPC_MESSAGE_SOURCE_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <functional>

#include "absl/status/statusor.h"

namespace chunkkv::rpc {

// One for each carrier. Used by one thread at a time; may outlive the get.
class MessageSource {
 public:
  virtual ~MessageSource() = default;

  enum class State { kMessage, kLater, kEnd };
  // kMessage: `message` is the next one. kLater: something must be given back first; `resume` will be called once, from
  // any thread. kEnd: all has been made. Errors: DATA_LOSS, and the carrier's own.
  virtual absl::StatusOr<State> Next(std::function<void()> resume, grpc::ByteBuffer* message) = 0;

  // The get has ended before its time, and waits for nothing that is under way; from any thread.
  virtual void Cancel() {}

  // Of tensors, so far.
  virtual int64_t sent_bytes() const = 0;
};

// Of an entry that the client maps: its header says everything.
class NothingToSend final : public MessageSource {
 public:
  absl::StatusOr<State> Next(std::function<void()>, grpc::ByteBuffer*) override { return State::kEnd; }
  int64_t sent_bytes() const override { return 0; }
};

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_MESSAGE_SOURCE_H_
