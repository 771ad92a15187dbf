#include "service/format/local_message.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace chunkkv {
namespace {

// More than one descriptor is a mistake; those that come all the same must be closed.
constexpr size_t kMostDescriptors = 16;

// The first one that came; the others are closed.
FileDescriptor TakeDescriptors(msghdr& header) {
  int first = -1;
  for (cmsghdr* control = CMSG_FIRSTHDR(&header); control != nullptr; control = CMSG_NXTHDR(&header, control)) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int descriptor;
      std::memcpy(&descriptor, CMSG_DATA(control) + i * sizeof(int), sizeof descriptor);
      if (first < 0) {
        first = descriptor;
      } else {
        ::close(descriptor);
      }
    }
  }
  return FileDescriptor(first);
}

}  // namespace

LocalMessage LocalError(std::string_view reason) {
  LocalMessage message;
  message.kind = LocalMessage::kError;
  std::memcpy(message.token.data(), reason.data(), std::min(reason.size(), message.token.size()));
  return message;
}

std::string LocalErrorReason(const LocalMessage& message) {
  const auto* const text = reinterpret_cast<const char*>(message.token.data());
  return std::string(text, strnlen(text, message.token.size()));
}

std::optional<sockaddr_un> LocalAddress(std::string_view path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path || path.find('\0') != path.npos) return std::nullopt;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

bool SendLocalMessage(int connection, const LocalMessage& message, int descriptor, std::string_view body) {
  iovec bytes[] = {{const_cast<LocalMessage*>(&message), sizeof message},
                   {const_cast<char*>(body.data()), body.size()}};
  msghdr header = {};
  header.msg_iov = bytes;
  header.msg_iovlen = body.empty() ? 1 : 2;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  if (descriptor >= 0) {
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    cmsghdr* const rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(rights), &descriptor, sizeof descriptor);
  }
  ssize_t sent;
  do {
    sent = sendmsg(connection, &header, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent == static_cast<ssize_t>(sizeof message + body.size());
}

ReceivedLocalMessage ReceiveLocalMessage(int connection) {
  LocalMessage message;
  thread_local std::string body(LocalMessage::kMaxBodyBytes, '\0');
  iovec bytes[] = {{&message, sizeof message}, {body.data(), body.size()}};
  msghdr header = {};
  header.msg_iov = bytes;
  header.msg_iovlen = 2;
  alignas(cmsghdr) char control[CMSG_SPACE(kMostDescriptors * sizeof(int))];
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  ssize_t size;
  do {
    size = recvmsg(connection, &header, MSG_CMSG_CLOEXEC);
  } while (size < 0 && errno == EINTR);
  ReceivedLocalMessage received;
  if (size < 0) {
    received.would_block = errno == EAGAIN || errno == EWOULDBLOCK;
    return received;
  }
  FileDescriptor descriptor = TakeDescriptors(header);
  const bool is_whole =
      size >= static_cast<ssize_t>(sizeof message) && (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
  if (!is_whole || message.magic != LocalMessage::kMagic) return received;
  return {message, body.substr(0, size - sizeof message), std::move(descriptor), false};
}

}  // namespace chunkkv
