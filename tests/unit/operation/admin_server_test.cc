#include "service/operation/admin_server.h"

#include <gtest/gtest.h>

#include <string>

#include "chunkkv/kernels/status.h"

namespace chunkkv {
namespace {

AdminPages NoPages() {
  return {.metrics = [] { return ""; }, .is_ready = [] { return true; }, .status = [] { return ""; }};
}

TEST(AdminServerTest, RefusesAPortThatIsTaken) {
  auto first = AdminServer::Listen("127.0.0.1:0", NoPages());
  ASSERT_TRUE(first.ok()) << first.status();
  const std::string address = "127.0.0.1:" + std::to_string((*first)->port());
  EXPECT_EQ(StatusReason(AdminServer::Listen(address, NoPages()).status()), "CANNOT_LISTEN");
  *first = nullptr;
  EXPECT_TRUE(AdminServer::Listen(address, NoPages()).ok()) << "it is free again";
}

}  // namespace
}  // namespace chunkkv
