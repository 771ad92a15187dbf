#include "client/cpp/local_connection.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"

namespace chunkkv::client {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::milliseconds kPatience = std::chrono::seconds(30);  // the server answers at once
constexpr std::chrono::microseconds kShortest(1000);  // none at all would be no limit to the kernel

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
                                                          const std::string& body, std::chrono::milliseconds timeout) {
  const auto deadline = steady_clock::now() + (timeout.count() > 0 ? std::min(timeout, kPatience) : kPatience);
  LocalMessage message;
  message.kind = kind;
  message.token = token;
  {
    MutexLock lock(mutex_);
    while (is_asking_) {
      if (!answered_.WaitFor(mutex_, deadline - steady_clock::now()) && is_asking_) return Broken("others use it");
    }
    is_asking_ = true;
  }
  ReceivedLocalMessage answer = Exchange(message, descriptor, body, deadline - steady_clock::now());
  {
    MutexLock lock(mutex_);
    is_asking_ = false;
  }
  answered_.NotifyOne();
  if (!answer.message) return Broken("the connection has ended");
  if (answer.message->kind == LocalMessage::kError) {
    return FailedPrecondition(LocalErrorReason(*answer.message), "refused on the server's local socket");
  }
  return answer;
}

ReceivedLocalMessage LocalConnection::Exchange(const LocalMessage& message, int descriptor, const std::string& body,
                                               std::chrono::nanoseconds timeout) const {
  const auto limit = std::max(std::chrono::duration_cast<std::chrono::microseconds>(timeout), kShortest).count();
  const timeval wait = {limit / 1'000'000, limit % 1'000'000};
  for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
    setsockopt(connection_.get(), SOL_SOCKET, option, &wait, sizeof wait);
  }
  ReceivedLocalMessage answer;
  if (SendLocalMessage(connection_.get(), message, descriptor, body)) answer = ReceiveLocalMessage(connection_.get());
  // What came later would be another question's answer.
  if (!answer.message) shutdown(connection_.get(), SHUT_RDWR);
  return answer;
}

bool LocalConnection::is_open() const {
  char byte;
  const ssize_t size = recv(connection_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return size > 0 || (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK));
}

absl::StatusOr<Bytes32> LocalConnection::Offer(int descriptor) {
  CHUNKKV_ASSIGN_OR_RETURN(const ReceivedLocalMessage answer, Ask(LocalMessage::kOffer, {}, descriptor, "", {}));
  return answer.message->token;
}

absl::StatusOr<FileDescriptor> LocalConnection::Map(const Bytes32& token, std::chrono::milliseconds timeout) {
  CHUNKKV_ASSIGN_OR_RETURN(ReceivedLocalMessage answer, Ask(LocalMessage::kMap, token, -1, "", timeout));
  if (!answer.descriptor.is_open()) return Broken("no descriptor came");
  return std::move(answer.descriptor);
}

absl::StatusOr<ReceivedLocalMessage> LocalConnection::Get(const std::string& request,
                                                          std::chrono::milliseconds timeout) {
  CHUNKKV_ASSIGN_OR_RETURN(ReceivedLocalMessage answer, Ask(LocalMessage::kGet, {}, -1, request, timeout));
  if (!answer.descriptor.is_open()) return Broken("no descriptor came");
  return answer;
}

void LocalConnection::Release(const Bytes32& token) {
  LocalMessage message;
  message.kind = LocalMessage::kRelease;
  message.token = token;
  SendLocalMessage(connection_.get(), message, -1);  // one message is sent whole, between a question and its answer too
}

}  // namespace chunkkv::client
