// The yardstick: bytes over a loopback TCP connection between two threads.
#ifndef CHUNKKV_TESTS_BENCH_SERVICE_RAW_TCP_H_
#define CHUNKKV_TESTS_BENCH_SERVICE_RAW_TCP_H_

#include <cstddef>
#include <vector>

namespace chunkkv::bench {

// One connection, kept open. A transfer writes a buffer in pieces of 1 MiB and reads it into another of the same size.
class RawTcp {
 public:
  RawTcp();
  ~RawTcp();
  void Transfer(const std::vector<std::byte>& from, std::vector<std::byte>& to);

 private:
  int sender_ = -1;
  int receiver_ = -1;
};

}  // namespace chunkkv::bench

#endif  // CHUNKKV_TESTS_BENCH_SERVICE_RAW_TCP_H_
