// A client with an NCCL channel: rank 1 of it, and the stream that holds it.
#ifndef CHUNKKV_TESTS_SUPPORT_CHANNEL_CLIENT_H_
#define CHUNKKV_TESTS_SUPPORT_CHANNEL_CLIENT_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "chunkkv/v1/transport.pb.h"
#include "tests/support/raw_stream.h"
#include "tests/support/test_server.h"
#include "tests/unit/session/put_prompt.h"

namespace chunkkv {

// Of one thread. The server must outlive it.
class ChannelClient {
 public:
  // Holds; has no channel yet.
  explicit ChannelClient(TestServer& server);
  ~ChannelClient();

  const std::string& owner_id() const { return owner_id_; }
  // What Open asks for: right in all.
  v1::OpenChannelRequest Request() const;
  // Opens a channel, which is this client's from then on where that is OK.
  RpcEnd Open(const v1::OpenChannelRequest& request);
  void Join();
  const std::string& channel_id() const { return opened_.channel_id(); }
  RpcEnd Close();

  // These are done when all messages of lower sequences have been asked for.
  void Send(int64_t sequence, Bytes bytes);
  // `size_bytes`, which have come when this returns: none of a lower sequence may be missing.
  Bytes Receive(int64_t sequence, int64_t size_bytes);

  // As the death of a process: the connection is closed, and the rank gone.
  void CloseConnection() { holding_ = nullptr; }
  void DropRank();

 private:
  void RunInTurn(int64_t sequence, std::function<void()> ask);
  void Ask(bool is_send, Bytes& bytes);

  TestServer& server_;
  const std::unique_ptr<NcclLibrary> nccl_;
  std::unique_ptr<DeviceStream> stream_;
  std::unique_ptr<RawStream> holding_;
  std::string owner_id_;
  v1::OpenChannelResponse opened_;
  NcclLibrary::Comm comm_ = nullptr;
  std::deque<Bytes> memory_;  // of messages: some may not have ended
  int64_t next_sequence_ = 0;
  std::map<int64_t, std::function<void()>> early_;
};

// One that has opened a channel and joined it.
std::unique_ptr<ChannelClient> JoinedClient(TestServer& server);

}  // namespace chunkkv

#endif  // CHUNKKV_TESTS_SUPPORT_CHANNEL_CLIENT_H_
