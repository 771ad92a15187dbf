// A call that has ended, however it came.
#ifndef CHUNKKV_SERVICE_RPC_ENDED_CALL_H_
#define CHUNKKV_SERVICE_RPC_ENDED_CALL_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "service/operation/metrics.h"

namespace chunkkv::rpc {

struct EndedCall {
  const char* rpc = "";
  absl::Status status{};
  std::string tenant{};  // empty: not known
  int64_t bytes = 0;     // of tensors, that it moved
  double seconds = 0;
  std::string trace_id{};
};

// In the metrics and in the log.
void Tell(const EndedCall& call, Metrics& metrics);

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_ENDED_CALL_H_
