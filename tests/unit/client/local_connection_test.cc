// A server that does not answer holds nobody longer than they said.
#include "client/cpp/local_connection.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "chunkkv/kernels/status.h"

namespace chunkkv::client {
namespace {

using std::chrono::milliseconds;

class LocalConnectionTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "chunkkv-silent-" + std::to_string(getpid());
    unlink(path_.c_str());
    const auto address = LocalAddress(path_);
    ASSERT_TRUE(address.has_value());
    ASSERT_EQ(bind(listener_.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address), 0);
    ASSERT_EQ(listen(listener_.get(), 4), 0);
    auto connection = LocalConnection::Connect(path_);
    ASSERT_TRUE(connection.ok()) << connection.status();
    connection_ = *std::move(connection);
  }
  void TearDown() override { unlink(path_.c_str()); }
  FileDescriptor Accept() { return FileDescriptor(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)); }

  std::string path_;
  FileDescriptor listener_{socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
  std::shared_ptr<LocalConnection> connection_;
};

TEST_F(LocalConnectionTest, AnAnswerThatDoesNotComeBreaksIt) {
  EXPECT_TRUE(connection_->is_open());
  EXPECT_EQ(StatusReason(connection_->Get("request", milliseconds(10)).status()), "LOCAL_SOCKET");
  EXPECT_FALSE(connection_->is_open());
}

TEST_F(LocalConnectionTest, NobodyWaitsLongerForOthersQuestions) {
  const FileDescriptor server = Accept();
  std::thread first([&] { (void)connection_->Get("first", {}); });
  ASSERT_TRUE(ReceiveLocalMessage(server.get()).message.has_value());  // it is asked, and not answered
  const absl::Status status = connection_->Get("second", milliseconds(10)).status();
  EXPECT_EQ(StatusReason(status), "LOCAL_SOCKET");
  EXPECT_EQ(status.message(), "the server's local socket: others use it");
  EXPECT_TRUE(connection_->is_open());
  shutdown(server.get(), SHUT_RDWR);
  first.join();
}

TEST_F(LocalConnectionTest, ItIsNotOpenOnceTheServerHasClosedIt) {
  Accept();
  EXPECT_FALSE(connection_->is_open());
}

}  // namespace
}  // namespace chunkkv::client
