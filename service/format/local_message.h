// One message of the local socket: 40 bytes, perhaps a body behind them, with at most one descriptor beside. Used by
// clients too.
#ifndef CHUNKKV_SERVICE_FORMAT_LOCAL_MESSAGE_H_
#define CHUNKKV_SERVICE_FORMAT_LOCAL_MESSAGE_H_

#include <sys/un.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "service/format/bytes.h"
#include "service/format/file_descriptor.h"

namespace chunkkv {

struct LocalMessage {
  enum Kind : uint32_t {
    kOffer = 1,    // perhaps with a descriptor; answered by kOffer and the token for RegisterRegion
    kMap = 2,      // a mapping's token; answered by kMap with the descriptor
    kRelease = 3,  // a mapping's token; not answered
    kGet = 4,      // body: a GetCacheRequest; answered by kGet, a token, a body (GetHeader) and the descriptor
    kError = 255,  // an answer: the reason, upper snake case, padded with zeros
  };
  static constexpr uint32_t kMagic = 0x31564B43;  // "CKV1"
  static constexpr size_t kMaxBodyBytes = 64 << 10;

  uint32_t magic = kMagic;
  uint32_t kind = kError;
  Bytes32 token{};
};
static_assert(sizeof(LocalMessage) == 40);

LocalMessage LocalError(std::string_view reason);
// Of a kError.
std::string LocalErrorReason(const LocalMessage& message);

// Of the socket at `path`; empty where no socket can be there: no path at all, too long a one, or with a NUL in it.
std::optional<sockaddr_un> LocalAddress(std::string_view path);

// False where it cannot be sent now, or ever. `descriptor` -1: none. Nothing is closed.
bool SendLocalMessage(int connection, const LocalMessage& message, int descriptor, std::string_view body = {});

// Where the connection ended, or the message is none of ours, `message` is empty; `would_block` tells a connection with
// nothing to read apart.
struct ReceivedLocalMessage {
  std::optional<LocalMessage> message;
  std::string body;
  FileDescriptor descriptor{-1};
  bool would_block = false;
};
ReceivedLocalMessage ReceiveLocalMessage(int connection);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_FORMAT_LOCAL_MESSAGE_H_
