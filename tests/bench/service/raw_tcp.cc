#include "tests/bench/service/raw_tcp.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "service/base/check.h"

namespace chunkkv::bench {
namespace {

constexpr size_t kPieceBytes = 1 << 20;

}  // namespace

RawTcp::RawTcp() {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  CHUNKKV_CHECK(bind(listener, reinterpret_cast<sockaddr*>(&address), length) == 0);
  CHUNKKV_CHECK(listen(listener, 1) == 0);
  CHUNKKV_CHECK(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) == 0);
  sender_ = socket(AF_INET, SOCK_STREAM, 0);
  CHUNKKV_CHECK(connect(sender_, reinterpret_cast<sockaddr*>(&address), length) == 0);
  receiver_ = accept(listener, nullptr, nullptr);
  CHUNKKV_CHECK(receiver_ >= 0);
  close(listener);
}

RawTcp::~RawTcp() {
  close(sender_);
  close(receiver_);
}

void RawTcp::Transfer(const std::vector<std::byte>& from, std::vector<std::byte>& to) {
  std::thread sender([&] {
    for (size_t sent = 0; sent < from.size();) {
      const ssize_t count = send(sender_, from.data() + sent, std::min(kPieceBytes, from.size() - sent), 0);
      CHUNKKV_CHECK(count > 0);
      sent += static_cast<size_t>(count);
    }
  });
  for (size_t received = 0; received < from.size();) {
    const ssize_t count = recv(receiver_, to.data() + received, std::min(kPieceBytes, to.size() - received), 0);
    CHUNKKV_CHECK(count > 0);
    received += static_cast<size_t>(count);
  }
  sender.join();
}

}  // namespace chunkkv::bench
