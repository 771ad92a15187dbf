#include "client/cpp/local_connection.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"

namespace chunkkv::client {
namespace {

absl::Status Broken(const std::string& what) {
  return ErrorStatus(absl::StatusCode::kUnavailable, "LOCAL_SOCKET", "the server's local socket: " + what);
}

}  // namespace

absl::StatusOr<std::shared_ptr<LocalConnection>> LocalConnection::Connect(const std::string& path) {
  const std::optional<sockaddr_un> address = LocalAddress(path);
  if (!address) return Broken("its path is none");
  FileDescriptor connection(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (connect(connection.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0) {
    return Broken(path + ": " + std::strerror(errno));
  }
  return std::shared_ptr<LocalConnection>(new LocalConnection(std::move(connection)));
}

absl::StatusOr<ReceivedLocalMessage> LocalConnection::Ask(LocalMessage::Kind kind, const Bytes32& token, int descriptor,
                                                          const std::string& body) {
  LocalMessage message;
  message.kind = kind;
  message.token = token;
  ReceivedLocalMessage answer;
  {
    MutexLock lock(mutex_);
    if (!SendLocalMessage(connection_.get(), message, descriptor, body)) return Broken("the connection has ended");
    answer = ReceiveLocalMessage(connection_.get());
  }
  if (!answer.message) return Broken("the connection has ended");
  if (answer.message->kind == LocalMessage::kError) {
    return FailedPrecondition(LocalErrorReason(*answer.message), "refused on the server's local socket");
  }
  return answer;
}

absl::StatusOr<Bytes32> LocalConnection::Offer(int descriptor) {
  CHUNKKV_ASSIGN_OR_RETURN(const ReceivedLocalMessage answer, Ask(LocalMessage::kOffer, {}, descriptor, ""));
  return answer.message->token;
}

absl::StatusOr<FileDescriptor> LocalConnection::Map(const Bytes32& token) {
  CHUNKKV_ASSIGN_OR_RETURN(ReceivedLocalMessage answer, Ask(LocalMessage::kMap, token, -1, ""));
  if (!answer.descriptor.is_open()) return Broken("no descriptor came");
  return std::move(answer.descriptor);
}

absl::StatusOr<ReceivedLocalMessage> LocalConnection::Get(const std::string& request) {
  CHUNKKV_ASSIGN_OR_RETURN(ReceivedLocalMessage answer, Ask(LocalMessage::kGet, {}, -1, request));
  if (!answer.descriptor.is_open()) return Broken("no descriptor came");
  return answer;
}

void LocalConnection::Release(const Bytes32& token) {
  LocalMessage message;
  message.kind = LocalMessage::kRelease;
  message.token = token;
  MutexLock lock(mutex_);
  SendLocalMessage(connection_.get(), message, -1);
}

}  // namespace chunkkv::client
