// Addresses to listen on, as options give them.
#ifndef CHUNKKV_SERVICE_OPERATION_LISTEN_ADDRESS_H_
#define CHUNKKV_SERVICE_OPERATION_LISTEN_ADDRESS_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace chunkkv {

struct ListenAddress {
  std::string host;  // a name, an IPv4 address, or an IPv6 address in brackets
  int port = 0;
  // As the system's calls take it: without brackets.
  std::string SystemHost() const;
};

// "127.0.0.1:7421", "[::]:7421", "localhost:0". Errors: INVALID_ARGUMENT (BAD_LISTEN_ADDRESS).
absl::StatusOr<ListenAddress> ParseListenAddress(std::string_view text);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_OPERATION_LISTEN_ADDRESS_H_
