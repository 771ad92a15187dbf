// Raw TCP over loopback: the limit that transfers are measured against.
#ifndef CHUNKKV_CLIENT_CLI_LOOPBACK_TCP_H_
#define CHUNKKV_CLIENT_CLI_LOOPBACK_TCP_H_

#include <cstddef>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace chunkkv::cli {

// A connection whose sending end is a thread of its own.
class LoopbackTcp {
 public:
  static absl::StatusOr<LoopbackTcp> Open();
  LoopbackTcp(LoopbackTcp&& other) noexcept;
  LoopbackTcp& operator=(LoopbackTcp&&) = delete;
  ~LoopbackTcp();
  // Seconds until all of `source` has arrived in `destination`, of the same size, in pieces of 1 MiB.
  absl::StatusOr<double> Transfer(absl::Span<const std::byte> source, absl::Span<std::byte> destination);

 private:
  LoopbackTcp(int sender, int receiver) : sender_(sender), receiver_(receiver) {}
  int sender_;
  int receiver_;
};

}  // namespace chunkkv::cli

#endif  // CHUNKKV_CLIENT_CLI_LOOPBACK_TCP_H_
