#include "service/operation/listen_address.h"

#include <gtest/gtest.h>

#include "chunkkv/kernels/status.h"

namespace chunkkv {
namespace {

TEST(ListenAddressTest, IsHostAndPort) {
  for (const auto& [text, host, port] : {std::tuple("127.0.0.1:7421", "127.0.0.1", 7421), std::tuple("[::1]:0", "[::1]", 0),
                                         std::tuple("localhost:65535", "localhost", 65535)}) {
    const auto address = ParseListenAddress(text);
    ASSERT_TRUE(address.ok()) << address.status();
    EXPECT_EQ(address->host, host);
    EXPECT_EQ(address->port, port);
  }
}

TEST(ListenAddressTest, AnythingElseIsNone) {
  for (const char* text : {"", "7421", ":7421", "host:", "host:x", "host:-1", "host:65536", "host:1x"}) {
    EXPECT_EQ(StatusReason(ParseListenAddress(text).status()), "BAD_LISTEN_ADDRESS") << text;
  }
}

}  // namespace
}  // namespace chunkkv
