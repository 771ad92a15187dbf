// What the RPC layer accepts; GetCapabilities tells it to clients.
#ifndef CHUNKKV_SERVICE_RPC_RPC_LIMITS_H_
#define CHUNKKV_SERVICE_RPC_RPC_LIMITS_H_

#include <cstdint>

namespace chunkkv::rpc {

inline constexpr int32_t kMinPartBytes = 16 << 10;
inline constexpr int32_t kDefaultPartBytes = 1 << 20;
inline constexpr int32_t kMaxPartBytes = 2 << 20;
inline constexpr int32_t kMaxMessageBytes = 8 << 20;
// Of a unary RPC: what a few kilobytes ask for must not take all memory.
inline constexpr int64_t kMaxDecodedRequestBytes = 32 << 20;
inline constexpr int64_t kMaxReplyBytes = 8 << 20;
inline constexpr int32_t kMaxFindShards = 4096;  // of all queries together
inline constexpr int64_t kMaxMetadataBytes = 8 << 10;

// How long a client that does not read may keep a stream that has ended.
inline constexpr int64_t kStuckMs = 5000;

struct RpcLimits {
  int32_t max_batch_items = 4096;
  int64_t max_wait_ms = 300'000;
  int64_t max_rpc_ms = 3'600'000;    // every RPC ends by then
  int64_t idle_timeout_ms = 30'000;  // of a put that waits for its client
  int32_t max_streams = 1024;        // puts, gets and watchers together
  int32_t max_connections = 1024;    // open ones, whatever has come over them
  // Peers are asked as often whether they are there, and have so long to answer.
  int32_t keepalive_ms = 30'000;
  int32_t keepalive_timeout_ms = 20'000;
  // A connection without a call ends then. Long: a call that begins just as it ends may fail.
  int32_t max_connection_idle_ms = 1'800'000;
  // How long a commit waits for its stream's half-close, so that a message behind it is still refused.
  int64_t commit_grace_ms = 50;
};

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_RPC_LIMITS_H_
