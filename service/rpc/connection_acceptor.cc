#include "service/rpc/connection_acceptor.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>
#include <utility>

#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"

namespace chunkkv::rpc {
namespace {

constexpr int kBacklog = 1024;
// After a failure that is not the peer's, such as no descriptor left.
constexpr std::chrono::milliseconds kPause(50);

// A free port of the first address may be taken of another one.
constexpr int kTriesForAFreePort = 8;

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;

  const sockaddr& generic() const { return reinterpret_cast<const sockaddr&>(storage); }
  in_port_t& port() {
    return storage.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(storage).sin6_port
                                         : reinterpret_cast<sockaddr_in&>(storage).sin_port;
  }
  bool IsLoopback() const {
    if (storage.ss_family == AF_INET) {
      return ntohl(reinterpret_cast<const sockaddr_in&>(storage).sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    }
    if (storage.ss_family != AF_INET6) return false;
    const in6_addr& address = reinterpret_cast<const sockaddr_in6&>(storage).sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(&address) || (IN6_IS_ADDR_V4MAPPED(&address) && address.s6_addr[12] == IN_LOOPBACKNET);
  }
  bool operator==(const SocketAddress& other) const {
    return size == other.size && std::memcmp(&storage, &other.storage, size) == 0;
  }
};

absl::Status CannotListen(const ListenAddress& address, const std::string& why) {
  return ErrorStatus(absl::StatusCode::kUnavailable, "CANNOT_LISTEN",
                     "cannot listen on " + address.host + ":" + std::to_string(address.port) + ": " + why);
}

// Each once.
absl::StatusOr<std::vector<SocketAddress>> Resolve(const ListenAddress& address) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(address.SystemHost().c_str(), std::to_string(address.port).c_str(), &hints, &found);
  if (error != 0) return CannotListen(address, gai_strerror(error));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owned(found, freeaddrinfo);
  std::vector<SocketAddress> addresses;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    SocketAddress candidate;
    candidate.size = one->ai_addrlen;
    std::memcpy(&candidate.storage, one->ai_addr, one->ai_addrlen);
    if (std::ranges::find(addresses, candidate) == addresses.end()) addresses.push_back(candidate);
  }
  return addresses;
}

// Not open, and errno, where it fails.
FileDescriptor ListenOn(const SocketAddress& address) {
  FileDescriptor listener(socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  const int off = 0;
  const bool is_listening =
      listener.is_open() && setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
      // "[::]" is every address, of IPv4 too.
      (address.storage.ss_family != AF_INET6 ||
       setsockopt(listener.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0) &&
      bind(listener.get(), &address.generic(), address.size) == 0 && listen(listener.get(), kBacklog) == 0;
  if (is_listening) return listener;
  const int error = errno;
  listener.Close();
  errno = error;
  return listener;
}

in_port_t PortOf(const FileDescriptor& listener) {
  SocketAddress bound{.size = sizeof(sockaddr_storage)};
  if (getsockname(listener.get(), reinterpret_cast<sockaddr*>(&bound.storage), &bound.size) != 0) return 0;
  return bound.port();
}

// A host's name may have addresses that this machine lacks: ::1 where there is no IPv6.
bool IsLacking(int error) { return error == EADDRNOTAVAIL || error == EAFNOSUPPORT; }

// On all of them, which get the first one's port.
absl::StatusOr<std::vector<FileDescriptor>> ListenOnAll(std::vector<SocketAddress> addresses,
                                                        const ListenAddress& address) {
  std::vector<FileDescriptor> listeners;
  int lacking = 0;
  for (SocketAddress& one : addresses) {
    if (!listeners.empty()) one.port() = PortOf(listeners.front());
    FileDescriptor listener = ListenOn(one);
    if (listener.is_open()) {
      listeners.push_back(std::move(listener));
      continue;
    }
    if (!IsLacking(errno)) return CannotListen(address, std::strerror(errno));
    lacking = errno;
  }
  if (listeners.empty()) return CannotListen(address, std::strerror(lacking));
  return listeners;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ConnectionAcceptor>> ConnectionAcceptor::Listen(const ListenAddress& address, Reach reach,
                                                                               int32_t max_connections) {
  CHUNKKV_ASSIGN_OR_RETURN(const std::vector<SocketAddress> addresses, Resolve(address));
  if (reach == Reach::kThisHost && !std::ranges::all_of(addresses, &SocketAddress::IsLoopback)) {
    return InvalidArgument("INSECURE_LISTEN", "listen: '" + address.host + "' is not a loopback address; without TLS and " +
                                                  "certificates of clients that needs --insecure-listen");
  }
  absl::StatusOr<std::vector<FileDescriptor>> listeners = ListenOnAll(addresses, address);
  for (int tries = 1; !listeners.ok() && address.port == 0 && tries < kTriesForAFreePort; ++tries) {
    listeners = ListenOnAll(addresses, address);
  }
  CHUNKKV_RETURN_IF_ERROR(listeners.status());
  FileDescriptor wake(eventfd(0, EFD_CLOEXEC));
  if (!wake.is_open()) return CannotListen(address, std::strerror(errno));
  return std::unique_ptr<ConnectionAcceptor>(
      new ConnectionAcceptor(*std::move(listeners), std::move(wake), max_connections));
}

ConnectionAcceptor::ConnectionAcceptor(std::vector<FileDescriptor> listeners, FileDescriptor wake,
                                       int32_t max_connections)
    : listeners_(std::move(listeners)),
      wake_(std::move(wake)),
      port_(ntohs(PortOf(listeners_.front()))),
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
  std::vector<pollfd> waited = {{wake_.get(), POLLIN, 0}};
  for (const FileDescriptor& listener : listeners_) waited.push_back({listener.get(), POLLIN, 0});
  while (true) {
    if (poll(waited.data(), waited.size(), -1) < 0) {
      if (errno != EINTR) std::this_thread::sleep_for(kPause);
      continue;
    }
    if (waited.front().revents != 0) return;
    for (size_t i = 1; i < waited.size(); ++i) {
      if (waited[i].revents != 0) Accept(waited[i].fd, take);
    }
  }
}

void ConnectionAcceptor::Accept(int listener, const std::function<void(int, int)>& take) {
  const int connection = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (connection < 0) {
    const bool is_of_peer = errno == EAGAIN || errno == EINTR || errno == ECONNABORTED;
    if (!is_of_peer) std::this_thread::sleep_for(kPause);
    return;
  }
  if (!Admit(connection)) {
    close(connection);
    return;
  }
  const int on = 1;
  setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  take(listener, connection);
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
