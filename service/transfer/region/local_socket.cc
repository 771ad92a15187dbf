#include "service/transfer/region/local_socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "chunkkv/kernels/status.h"
#include "service/base/check.h"
#include "service/base/status_macros.h"

namespace chunkkv {
namespace {

constexpr int kBacklog = 64;

absl::Status CannotListen(const std::string& path, const char* what) {
  return ErrorStatus(absl::StatusCode::kUnavailable, "CANNOT_LISTEN",
                     "local socket '" + path + "': " + what + ": " + std::strerror(errno));
}

FileDescriptor MakeSocket() {
  return FileDescriptor(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

const sockaddr* Generic(const sockaddr_un& address) { return reinterpret_cast<const sockaddr*>(&address); }

// Left behind by a server that was killed.
bool IsAbandoned(const sockaddr_un& address) {
  struct stat status;
  if (lstat(address.sun_path, &status) != 0 || !S_ISSOCK(status.st_mode)) return false;
  const FileDescriptor probe = MakeSocket();
  return connect(probe.get(), Generic(address), sizeof address) != 0 && errno == ECONNREFUSED;
}

}  // namespace

absl::StatusOr<std::unique_ptr<LocalSocket>> LocalSocket::Listen(const LocalSocketOptions& options,
                                                                 RegionTable& regions, MappingTable& mappings,
                                                                 LocalGetHandler get) {
  const std::optional<sockaddr_un> address = LocalAddress(options.path);
  if (!address) {
    return InvalidArgument("BAD_LOCAL_SOCKET",
                           "local socket: '" + options.path + "' is no path of less than 108 bytes");
  }
  FileDescriptor listener = MakeSocket();
  FileDescriptor wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!listener.is_open() || !wake.is_open()) return CannotListen(options.path, "socket");
  // Of the file that bind makes: who else may connect is looked at connection by connection.
  fchmod(listener.get(), options.users.empty() ? 0600 : 0666);
  if (IsAbandoned(*address)) unlink(address->sun_path);
  if (bind(listener.get(), Generic(*address), sizeof *address) != 0) return CannotListen(options.path, "bind");
  if (listen(listener.get(), kBacklog) != 0) return CannotListen(options.path, "listen");
  return std::unique_ptr<LocalSocket>(
      new LocalSocket(options, std::move(listener), std::move(wake), regions, mappings, std::move(get)));
}

LocalSocket::LocalSocket(const LocalSocketOptions& options, FileDescriptor listener, FileDescriptor wake,
                         RegionTable& regions, MappingTable& mappings, LocalGetHandler get)
    : options_(options),
      listener_(std::move(listener)),
      wake_(std::move(wake)),
      regions_(regions),
      mappings_(mappings),
      get_(std::move(get)),
      thread_([this] { Serve(); }) {}

LocalSocket::~LocalSocket() {
  const uint64_t one = 1;
  CHUNKKV_CHECK(write(wake_.get(), &one, sizeof one) == sizeof one);
  thread_.join();
  unlink(options_.path.c_str());
  while (!connections_.empty()) Close(connections_.begin()->first);
}

void LocalSocket::Serve() {
  std::vector<pollfd> watched;
  std::vector<PeerId> peers;
  while (true) {
    watched = {{wake_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
    peers.clear();
    for (const auto& [peer, connection] : connections_) {
      watched.push_back({connection.descriptor.get(), POLLIN, 0});
      peers.push_back(peer);
    }
    // A full house leaves newcomers in the backlog.
    if (static_cast<int64_t>(peers.size()) >= options_.max_connections) watched[1].events = 0;
    if (poll(watched.data(), watched.size(), -1) < 0) {
      CHUNKKV_CHECK(errno == EINTR);
      continue;
    }
    if (watched[0].revents != 0) return;
    if (watched[1].revents != 0) Accept();
    for (size_t i = 0; i < peers.size(); ++i) {
      if (watched[i + 2].revents != 0 && !Answer(peers[i], connections_.at(peers[i]))) Close(peers[i]);
    }
  }
}

void LocalSocket::Accept() {
  FileDescriptor connection(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!connection.is_open()) return;
  if (!IsAllowed(connection.get())) {
    SendLocalMessage(connection.get(), LocalError("PEER_NOT_ALLOWED"), -1);
    return;
  }
  connections_.emplace(++last_peer_, Connection{std::move(connection), std::nullopt});
}

bool LocalSocket::IsAllowed(int connection) const {
  ucred credentials;
  socklen_t size = sizeof credentials;
  if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return false;
  return credentials.uid == 0 || credentials.uid == geteuid() ||
         std::find(options_.users.begin(), options_.users.end(), credentials.uid) != options_.users.end();
}

bool LocalSocket::Answer(PeerId peer, Connection& connection) {
  ReceivedLocalMessage received = ReceiveLocalMessage(connection.descriptor.get());
  if (received.would_block) return true;
  if (!received.message) return false;
  const LocalMessage message = *received.message;
  if (!received.body.empty() && message.kind != LocalMessage::kGet) return false;
  return AnswerTo(peer, connection, message, std::move(received));
}

bool LocalSocket::AnswerTo(PeerId peer, Connection& connection, LocalMessage message, ReceivedLocalMessage received) {
  const int to = connection.descriptor.get();
  const auto refuse = [&](std::string_view reason) { return SendLocalMessage(to, LocalError(reason), -1); };
  switch (message.kind) {
    case LocalMessage::kOffer: {
      const absl::StatusOr<Bytes32> token = regions_.Offer(peer, std::move(received.descriptor));
      if (!token.ok()) return refuse(StatusReason(token.status()));
      message.token = *token;
      return SendLocalMessage(to, message, -1);
    }
    case LocalMessage::kMap: {
      absl::StatusOr<MappingTable::Fetched> fetched = mappings_.Fetch(peer, message.token);
      if (!fetched.ok()) return refuse(StatusReason(fetched.status()));
      connection.caller = std::move(fetched->caller);
      return SendLocalMessage(to, message, fetched->descriptor);
    }
    case LocalMessage::kRelease:
      mappings_.Release(peer, message.token);
      return true;
    case LocalMessage::kGet: {
      if (!connection.caller.has_value()) return refuse("NOTHING_MAPPED");
      const absl::StatusOr<LocalGetReply> reply = get_(*connection.caller, peer, received.body);
      if (!reply.ok()) return refuse(StatusReason(reply.status()));
      message.token = reply->lease;
      return SendLocalMessage(to, message, reply->descriptor, reply->header);
    }
    default:
      return refuse("UNKNOWN_KIND");
  }
}

void LocalSocket::Close(PeerId peer) {
  connections_.erase(peer);
  regions_.Forget(peer);
  mappings_.Forget(peer);
}

}  // namespace chunkkv
