#include "service/rpc/connection_acceptor.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "chunkkv/kernels/status.h"

namespace chunkkv::rpc {
namespace {

using Reach = ConnectionAcceptor::Reach;

class ConnectionAcceptorTest : public testing::Test {
 protected:
  void Listen(int32_t max_connections) {
    acceptor_ = *ConnectionAcceptor::Listen({"127.0.0.1", 0}, Reach::kThisHost, max_connections);
    acceptor_->Start([this](int, int connection) {
      std::lock_guard lock(mutex_);
      taken_.push_back(connection);
      more_.notify_all();
    });
  }
  ~ConnectionAcceptorTest() override {
    if (acceptor_ != nullptr) acceptor_->Stop();
    for (const int connection : taken_) close(connection);
  }

  FileDescriptor Connect() {
    FileDescriptor client(socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(acceptor_->port()));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return client;
  }
  int Taken() {
    std::unique_lock lock(mutex_);
    more_.wait(lock, [this] { return !taken_.empty(); });
    const int connection = taken_.front();
    taken_.pop_front();
    return connection;
  }
  // Whether the other side has closed the connection; waits until it does, or sends something.
  static bool IsClosed(const FileDescriptor& client) {
    char byte;
    return recv(client.get(), &byte, 1, 0) <= 0;
  }

  std::unique_ptr<ConnectionAcceptor> acceptor_;
  std::mutex mutex_;
  std::condition_variable more_;
  std::deque<int> taken_;
};

TEST_F(ConnectionAcceptorTest, HandsOnWhatComes) {
  Listen(2);
  const FileDescriptor client = Connect();
  const FileDescriptor connection(Taken());
  ASSERT_EQ(send(connection.get(), "x", 1, 0), 1);
  char byte = 0;
  EXPECT_EQ(recv(client.get(), &byte, 1, 0), 1);
  EXPECT_EQ(byte, 'x');
  EXPECT_EQ(acceptor_->connections(), 1);
}

TEST_F(ConnectionAcceptorTest, ClosesWhatIsAboveTheLimitUntilOthersHaveGone) {
  Listen(2);
  const FileDescriptor first = Connect();
  const FileDescriptor second = Connect();
  FileDescriptor of_first(Taken());
  const FileDescriptor of_second(Taken());
  EXPECT_TRUE(IsClosed(Connect()));
  EXPECT_EQ(acceptor_->refused(), 1);
  of_first.Close();
  const FileDescriptor third = Connect();
  const FileDescriptor of_third(Taken());
  EXPECT_TRUE(IsClosed(Connect()));
  EXPECT_EQ(acceptor_->connections(), 2);
  EXPECT_EQ(acceptor_->refused(), 2);
}

TEST_F(ConnectionAcceptorTest, TakesNothingOnceStopped) {
  Listen(2);
  acceptor_->Stop();
  const FileDescriptor client = Connect();  // by the kernel
  EXPECT_TRUE(taken_.empty());
}

TEST(ConnectionAcceptorAddressTest, NamesWhatItCannotListenOn) {
  EXPECT_EQ(StatusReason(ConnectionAcceptor::Listen({"192.0.2.1", 1}, Reach::kAnyHost, 1).status()), "CANNOT_LISTEN");
  EXPECT_EQ(StatusReason(ConnectionAcceptor::Listen({"no-such-host.invalid", 1}, Reach::kAnyHost, 1).status()),
            "CANNOT_LISTEN");
  const auto first = ConnectionAcceptor::Listen({"127.0.0.1", 0}, Reach::kAnyHost, 1);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(StatusReason(ConnectionAcceptor::Listen({"127.0.0.1", (*first)->port()}, Reach::kAnyHost, 1).status()),
            "CANNOT_LISTEN");
}

std::string ReasonOf(const char* host, Reach reach) {
  return StatusReason(ConnectionAcceptor::Listen({host, 0}, reach, 1).status());
}

TEST(ConnectionAcceptorAddressTest, KnowsWhatOtherHostsReach) {
  for (const char* host : {"127.0.0.1", "127.9.9.9", "127.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"}) {
    EXPECT_NE(ReasonOf(host, Reach::kThisHost), "INSECURE_LISTEN") << host;
  }
  for (const char* host : {"0.0.0.0", "[::]", "10.0.0.1", "[::ffff:10.0.0.1]", "128.0.0.1", "[fe80::1]"}) {
    EXPECT_EQ(ReasonOf(host, Reach::kThisHost), "INSECURE_LISTEN") << host;
    EXPECT_NE(ReasonOf(host, Reach::kAnyHost), "INSECURE_LISTEN") << host;
  }
}

TEST(ConnectionAcceptorAddressTest, ListensOnAllAddressesOfAName) {
  const auto acceptor = ConnectionAcceptor::Listen({"localhost", 0}, Reach::kThisHost, 1);
  ASSERT_TRUE(acceptor.ok()) << acceptor.status();
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  ASSERT_EQ(getaddrinfo("localhost", std::to_string((*acceptor)->port()).c_str(), &hints, &found), 0);
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owned(found, freeaddrinfo);
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    const FileDescriptor client(socket(one->ai_family, SOCK_STREAM, 0));
    const bool is_there = client.is_open() && connect(client.get(), one->ai_addr, one->ai_addrlen) == 0;
    EXPECT_TRUE(is_there || errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL) << one->ai_family;
  }
}

TEST(ConnectionAcceptorAddressTest, ListensOnIpv6) {
  const auto acceptor = ConnectionAcceptor::Listen({"[::1]", 0}, Reach::kAnyHost, 1);
  if (!acceptor.ok()) GTEST_SKIP() << "no IPv6 here: " << acceptor.status();
  EXPECT_GT((*acceptor)->port(), 0);
}

}  // namespace
}  // namespace chunkkv::rpc
