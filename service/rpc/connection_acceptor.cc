#include "service/rpc/connection_acceptor.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>

#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"

namespace chunkkv::rpc {
namespace {

constexpr int kBacklog = 1024;
// After a failure that is not the peer's, such as no descriptor left.
constexpr std::chrono::milliseconds kPause(50);

using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

absl::Status CannotListen(const ListenAddress& address, const std::string& why) {
  return ErrorStatus(absl::StatusCode::kUnavailable, "CANNOT_LISTEN",
                     "cannot listen on " + address.host + ":" + std::to_string(address.port) + ": " + why);
}

absl::StatusOr<Addresses> Resolve(const ListenAddress& address) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(address.SystemHost().c_str(), std::to_string(address.port).c_str(), &hints, &found);
  if (error != 0) return CannotListen(address, gai_strerror(error));
  return Addresses(found, freeaddrinfo);
}

absl::StatusOr<FileDescriptor> ListenOn(const addrinfo& candidate, const ListenAddress& address) {
  FileDescriptor listener(socket(candidate.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  const int off = 0;
  const bool is_listening =
      listener.get() >= 0 && setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
      // "[::]" is every address, of IPv4 too.
      (candidate.ai_family != AF_INET6 || setsockopt(listener.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0) &&
      bind(listener.get(), candidate.ai_addr, candidate.ai_addrlen) == 0 && listen(listener.get(), kBacklog) == 0;
  if (!is_listening) return CannotListen(address, std::strerror(errno));
  return listener;
}

int PortOf(int listener) {
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  if (getsockname(listener, reinterpret_cast<sockaddr*>(&bound), &size) != 0) return 0;
  return ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(bound).sin6_port
                                           : reinterpret_cast<const sockaddr_in&>(bound).sin_port);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ConnectionAcceptor>> ConnectionAcceptor::Listen(const ListenAddress& address,
                                                                               int32_t max_connections) {
  CHUNKKV_ASSIGN_OR_RETURN(const Addresses candidates, Resolve(address));
  absl::Status status;
  for (const addrinfo* candidate = candidates.get(); candidate != nullptr; candidate = candidate->ai_next) {
    absl::StatusOr<FileDescriptor> listener = ListenOn(*candidate, address);
    status = listener.status();
    if (!status.ok()) continue;
    FileDescriptor wake(eventfd(0, EFD_CLOEXEC));
    if (wake.get() < 0) return CannotListen(address, std::strerror(errno));
    const int port = PortOf(listener->get());
    return std::unique_ptr<ConnectionAcceptor>(
        new ConnectionAcceptor(*std::move(listener), std::move(wake), port, max_connections));
  }
  return status;
}

ConnectionAcceptor::ConnectionAcceptor(FileDescriptor listener, FileDescriptor wake, int port, int32_t max_connections)
    : listener_(std::move(listener)),
      wake_(std::move(wake)),
      port_(port),
      max_connections_(static_cast<size_t>(max_connections)) {}

ConnectionAcceptor::~ConnectionAcceptor() { Stop(); }

void ConnectionAcceptor::Start(std::function<void(int, int)> take) {
  thread_ = std::thread([this, take = std::move(take)] { Run(take); });
}

void ConnectionAcceptor::Stop() {
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof one);
  thread_.join();
}

void ConnectionAcceptor::Run(const std::function<void(int, int)>& take) {
  while (true) {
    pollfd waited[] = {{listener_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
    if (poll(waited, 2, -1) < 0 && errno != EINTR) std::this_thread::sleep_for(kPause);
    if (waited[1].revents != 0) return;
    const int connection = accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (connection < 0) {
      const bool is_of_peer = errno == EAGAIN || errno == EINTR || errno == ECONNABORTED;
      if (!is_of_peer) std::this_thread::sleep_for(kPause);
      continue;
    }
    if (!Admit(connection)) {
      close(connection);
      continue;
    }
    const int on = 1;
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    take(listener_.get(), connection);
  }
}

bool ConnectionAcceptor::Admit(int connection) {
  struct stat state {};
  const bool is_known = fstat(connection, &state) == 0;
  MutexLock lock(mutex_);
  if (open_.size() >= max_connections_) ForgetClosed();
  if (!is_known || open_.size() >= max_connections_) {
    ++refused_;
    return false;
  }
  open_.emplace_back(connection, state.st_ino);
  return true;
}

void ConnectionAcceptor::ForgetClosed() const {
  std::erase_if(open_, [](const Connection& connection) {
    struct stat state {};
    return fstat(connection.first, &state) != 0 || state.st_ino != connection.second;
  });
}

int64_t ConnectionAcceptor::connections() const {
  MutexLock lock(mutex_);
  ForgetClosed();
  return static_cast<int64_t>(open_.size());
}

int64_t ConnectionAcceptor::refused() const {
  MutexLock lock(mutex_);
  return refused_;
}

}  // namespace chunkkv::rpc
