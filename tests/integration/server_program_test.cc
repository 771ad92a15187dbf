// The program itself: how it starts, what it prints, how it ends.
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include "chunkkv/v1/kv_cache_service.grpc.pb.h"
#include "tests/support/child_process.h"
#include "tests/support/get_client.h"
#include "tests/support/put_client.h"

namespace chunkkv {
namespace {

TEST(ServerProgramTest, ServesUntilItIsTerminated) {
  ServerProcess server(CHUNKKV_SERVER, {"--host-memory", "64MiB", "--grace-ms", "1000"});
  const auto channel = grpc::CreateChannel(server.address(), grpc::InsecureChannelCredentials());
  const PutRequest request = SmallRequest();
  const Prompt prompt = MakePrompt(request);
  EXPECT_TRUE(PutAll(channel, request, prompt).committed.has_value());
  ExpectServed(GetAll(channel, GetRequestOf(request)), request, prompt, ReferenceKept(request, prompt).positions);
  server.process().Signal(SIGTERM);
  EXPECT_EQ(server.process().Wait(), 0);
}

TEST(ServerProgramTest, TakesAllTheDescriptorsThatItMayHave) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit few{.rlim_cur = 256, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  ServerProcess server(CHUNKKV_SERVER, {});
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit of_server{};
  ASSERT_EQ(prlimit(server.process().pid(), RLIMIT_NOFILE, nullptr, &of_server), 0);
  EXPECT_EQ(of_server.rlim_cur, before.rlim_max);
}

TEST(ServerProgramTest, TellsItsVersion) {
  ChildProcess program({CHUNKKV_SERVER, "--version"});
  EXPECT_EQ(program.ReadLine().rfind("chunkkv-server ", 0), 0u);
  EXPECT_EQ(program.Wait(), 0);
}

TEST(ServerProgramTest, RefusesUnknownFlags) {
  ChildProcess program({CHUNKKV_SERVER, "--listen", "127.0.0.1:0", "--frobnicate"});
  EXPECT_EQ(program.Wait(), 2);
}

TEST(ServerProgramTest, RefusesDeviceMemoryWithoutADevice) {
  ChildProcess program({CHUNKKV_SERVER, "--listen", "127.0.0.1:0", "--device", "cpu", "--device-memory", "1GiB"});
  EXPECT_EQ(program.Wait(), 2);
}

TEST(ServerProgramTest, RefusesNcclWithoutADevice) {
  ChildProcess program({CHUNKKV_SERVER, "--listen", "127.0.0.1:0", "--device", "cpu", "--nccl"});
  EXPECT_EQ(program.Wait(), 2);
}

TEST(ServerProgramTest, ServesWhereThereIsNoNccl) {
  ServerProcess server(CHUNKKV_SERVER, {"--host-memory", "64MiB", "--nccl", "--nccl-library", "/nowhere/libnccl.so.2"});
  const auto channel = grpc::CreateChannel(server.address(), grpc::InsecureChannelCredentials());
  const auto stub = v1::KvCacheService::NewStub(channel);
  grpc::ClientContext context;
  v1::GetCapabilitiesResponse capabilities;
  EXPECT_TRUE(stub->GetCapabilities(&context, v1::GetCapabilitiesRequest(), &capabilities).ok());
  EXPECT_NE(capabilities.channels().unavailable(), "");
}

TEST(ServerProgramTest, RefusesAnOpenAddress) {
  ChildProcess program({CHUNKKV_SERVER, "--listen", "0.0.0.0:0"});
  EXPECT_EQ(program.Wait(), 1);
}

}  // namespace
}  // namespace chunkkv
