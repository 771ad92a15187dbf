#include "client/cli/loopback_tcp.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "chunkkv/kernels/status.h"

namespace chunkkv::cli {
namespace {

constexpr size_t kPieceBytes = size_t{1} << 20;

absl::Status SocketFailed(const char* what) {
  return ErrorStatus(absl::StatusCode::kUnavailable, "SOCKET_FAILED", std::string("loopback TCP: ") + what);
}

}  // namespace

absl::StatusOr<LoopbackTcp> LoopbackTcp::Open() {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0) return SocketFailed("socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  const int sender = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int receiver = -1;
  if (sender >= 0 && bind(listener, generic, size) == 0 && listen(listener, 1) == 0 &&
      getsockname(listener, generic, &size) == 0 && connect(sender, generic, size) == 0) {
    receiver = accept(listener, nullptr, nullptr);
  }
  close(listener);
  LoopbackTcp connection(sender, receiver);
  if (receiver < 0) return SocketFailed("connect");
  const int on = 1;
  setsockopt(sender, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return connection;
}

LoopbackTcp::LoopbackTcp(LoopbackTcp&& other) noexcept : sender_(other.sender_), receiver_(other.receiver_) {
  other.sender_ = other.receiver_ = -1;
}

LoopbackTcp::~LoopbackTcp() {
  if (sender_ >= 0) close(sender_);
  if (receiver_ >= 0) close(receiver_);
}

absl::StatusOr<double> LoopbackTcp::Transfer(absl::Span<const std::byte> source, absl::Span<std::byte> destination) {
  const auto start = std::chrono::steady_clock::now();
  std::thread sending([&] {
    for (size_t sent = 0; sent < source.size();) {
      const ssize_t count =
          send(sender_, source.data() + sent, std::min(kPieceBytes, source.size() - sent), MSG_NOSIGNAL);
      if (count <= 0) {
        shutdown(sender_, SHUT_RDWR);
        return;
      }
      sent += static_cast<size_t>(count);
    }
  });
  size_t received = 0;
  while (received < destination.size()) {
    const ssize_t count =
        recv(receiver_, destination.data() + received, std::min(kPieceBytes, destination.size() - received), 0);
    if (count <= 0) break;
    received += static_cast<size_t>(count);
  }
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  if (received < destination.size()) shutdown(receiver_, SHUT_RDWR);
  sending.join();
  if (received < destination.size()) return SocketFailed("the connection broke");
  return elapsed.count();
}

}  // namespace chunkkv::cli
