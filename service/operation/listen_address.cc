#include "service/operation/listen_address.h"

#include <charconv>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"

namespace chunkkv {

std::string ListenAddress::SystemHost() const {
  return host.size() > 2 && host.front() == '[' ? host.substr(1, host.size() - 2) : host;
}

absl::StatusOr<ListenAddress> ParseListenAddress(std::string_view text) {
  const size_t colon = text.rfind(':');
  ListenAddress address;
  if (colon != std::string_view::npos && colon > 0) {
    address.host = std::string(text.substr(0, colon));
    const std::string_view port = text.substr(colon + 1);
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
    const bool is_number = error == std::errc() && end == port.data() + port.size();
    if (is_number && address.port >= 0 && address.port <= 65'535) return address;
  }
  return InvalidArgument("BAD_LISTEN_ADDRESS",
                         absl::StrCat("listen: '", std::string(text.substr(0, 256)), "' is not host:port"));
}

}  // namespace chunkkv
