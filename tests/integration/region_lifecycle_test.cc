// Lent memory over its life: when it may be reused, what ends with whom, and that nothing of an old transfer ever lands
// in it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "chunkkv/kernels/status.h"
#include "tests/support/carrier.h"
#include "tests/support/get_client.h"
#include "tests/support/local_client.h"
#include "tests/support/put_client.h"
#include "tests/support/test_server.h"

namespace chunkkv {
namespace {

constexpr int64_t kFileBytes = int64_t{2} << 20;

PutRequest FullRequest() {
  PutRequest request = SmallRequest();
  request.spec = CompactionSpec();
  request.score_source = ScoreSource::kNone;
  return request;
}

bool Unregister(TestServer& server, const std::string& region_id) {
  v1::UnregisterRegionRequest request;
  request.set_region_id(region_id);
  v1::UnregisterRegionResponse response;
  grpc::ClientContext context;
  return server.stub().UnregisterRegion(&context, request, &response).ok();
}

v1::PutCacheRequest KeysInRegion(const std::string& region_id, int32_t layer) {
  v1::PutCacheRequest message = InlinePart(RowsPart(SmallRequest(), layer, 0, 0, 96), {});
  v1::TensorPayload* payload = message.mutable_part()->mutable_payload();
  payload->Clear();
  payload->mutable_region()->set_region_id(region_id);
  payload->mutable_region()->set_length_bytes(96 * 2 * 8 * 4);
  return message;
}

PutRequest FromTokenScores() {
  PutRequest request = SmallRequest();
  request.score_source = ScoreSource::kTokenScores;
  return request;
}

// Begins a put whose first layer's keys, selected from, still wait in the region.
void PutKeysThatWait(PutClient& put, const PutRequest& request, const std::string& region_id) {
  v1::Begin begin = BeginOf(request);
  begin.set_transfer_id("transfer");
  ASSERT_TRUE(put.Begin(begin).has_value());
  put.Send(KeysInRegion(region_id, 0));
  put.SendScores(request, MakePrompt(request), 0);
  ASSERT_TRUE(put.ReceiveSelection(0).has_value());  // the part before it was taken
}

void ExpectNothingLent(TestServer& server) {
  EXPECT_TRUE(TestServer::Eventually([&] { return server.server().local_holdings() == 0; }))
      << server.server().local_holdings();
}

class RegionLifecycleTest : public testing::TestWithParam<RegionKind> {
 protected:
  static ServerOptions Options() {
    return GetParam() == RegionKind::kSharedMemory ? SmallServer() : ServerWithDeviceRegions();
  }
};

TEST_P(RegionLifecycleTest, SaysOfEveryPartThatItIsConsumedOnce) {
  TestServer server(Options());
  for (const ScoreSource source : {ScoreSource::kQueryWindow, ScoreSource::kTokenScores}) {
    PutRequest request = SmallRequest();
    request.score_source = source;
    request.key.fill(static_cast<uint8_t>(source));
    const auto carrier = MakeRegionCarrier(server, GetParam(), /*paged=*/false);
    const PutResult put = PutAll(server.channel(), request, MakePrompt(request), 7, {}, carrier.get());
    ASSERT_TRUE(put.end.ok()) << put.end;
    // 14 parts each of keys and values of 3 layers, and the scores of each layer.
    EXPECT_EQ(put.consumed.size(), 3u * (2 * 14 + 1));
  }
  server.ExpectAtRest();
}

// A cache is full most of the time: what a put holds beside its reservation makes room as everything else does.
TEST_P(RegionLifecycleTest, PutsIntoAFullStore) {
  ServerOptions options = Options();
  options.store.host_budget_bytes = 1 << 20;
  TestServer server(options);
  const auto carrier = MakeRegionCarrier(server, GetParam(), /*paged=*/true);
  for (uint8_t number = 0; number < 40; ++number) {
    PutRequest request = FullRequest();
    request.key.fill(number);
    const PutResult put = PutAll(server.channel(), request, MakePrompt(request), 7, {}, carrier.get());
    ASSERT_TRUE(put.end.ok()) << static_cast<int>(number) << " " << put.end;
  }
  EXPECT_GT(server.store().Stats().evictions, 0);
  server.ExpectAtRest();
}

TEST_P(RegionLifecycleTest, ListsTheTenantsRegionsUntilTheyAreUnregistered) {
  TestServer server(Options());
  LocalClient client(server.server_options().local_socket.path);
  const SharedFile file(kFileBytes);
  const std::string region_id = RegisterFile(client, server.stub(), file, kFileBytes, GetParam());
  v1::ListRegionsResponse response;
  {
    grpc::ClientContext context;
    ASSERT_TRUE(server.stub().ListRegions(&context, v1::ListRegionsRequest(), &response).ok());
  }
  ASSERT_EQ(response.regions_size(), 1);
  EXPECT_EQ(response.regions(0).region_id(), region_id);
  EXPECT_EQ(response.regions(0).kind(), static_cast<int>(GetParam()) + 1);
  EXPECT_EQ(response.regions(0).size_bytes(), kFileBytes);
  EXPECT_EQ(response.regions(0).active_transfers(), 0);
  EXPECT_TRUE(Unregister(server, region_id));
  EXPECT_FALSE(Unregister(server, region_id));
  ExpectNothingLent(server);
}

TEST_P(RegionLifecycleTest, AClientThatGoesTakesItsRegionsWithItAndItsPutFails) {
  TestServer server(Options());
  auto client = std::make_unique<LocalClient>(server.server_options().local_socket.path);
  const SharedFile file(kFileBytes);
  const std::string region_id = RegisterFile(*client, server.stub(), file, kFileBytes, GetParam());
  const PutRequest request = FromTokenScores();
  PutClient put(server.channel());
  PutKeysThatWait(put, request, region_id);
  client = nullptr;
  ExpectNothingLent(server);
  put.SendRows(request, MakePrompt(request), 0, 1, 0, 96);
  EXPECT_EQ(put.Finish().reason, "REGION_CLOSED");
  server.ExpectAtRest();
}

TEST_P(RegionLifecycleTest, UnregisteredWhileAPutStillNeedsItEndsThatPut) {
  TestServer server(Options());
  LocalClient client(server.server_options().local_socket.path);
  const SharedFile file(kFileBytes);
  const std::string region_id = RegisterFile(client, server.stub(), file, kFileBytes, GetParam());
  const PutRequest request = FromTokenScores();
  PutClient put(server.channel());
  PutKeysThatWait(put, request, region_id);
  EXPECT_TRUE(Unregister(server, region_id));
  put.SendRows(request, MakePrompt(request), 0, 1, 0, 96);
  EXPECT_EQ(put.Finish().reason, "REGION_CLOSED");
  server.ExpectAtRest();
}

// Cancels a put after each of its messages, quiesces, and overwrites everything: the next put of the prompt must be
// stored as it is sent, and nothing may be read or left behind.
TEST_P(RegionLifecycleTest, AfterQuiescingACancelledPutItsPagesAreFree) {
  TestServer server(Options());
  const PutRequest request = SmallRequest();
  const Prompt prompt = MakePrompt(request);
  for (int messages = 0; messages < 9; ++messages) {
    LocalClient client(server.server_options().local_socket.path);
    SharedFile file(kFileBytes);
    const std::string region_id = RegisterFile(client, server.stub(), file, kFileBytes, GetParam());
    const std::string transfer_id = "cancelled " + std::to_string(messages);
    v1::Begin begin = BeginOf(request);
    begin.set_transfer_id(transfer_id);
    {
      PutClient put(server.channel());
      ASSERT_TRUE(put.Begin(begin).has_value());
      for (int sent = 0; sent < messages; ++sent) {
        const int32_t layer = sent / 3;
        if (sent % 3 == 0) put.SendScores(request, prompt, layer);
        if (sent % 3 == 1) put.Send(KeysInRegion(region_id, layer));
        if (sent % 3 == 2) put.SendRows(request, prompt, layer, 1, 0, 96);
      }
      put.stream().Cancel();
      EXPECT_TRUE(server.Quiesce(transfer_id));
    }
    std::memset(file.bytes().data(), 0xff, kFileBytes);  // NaN, to whoever still scores it
    server.ExpectAtRest();
    EXPECT_EQ(server.store().Stats().entries, 0);
  }
  EXPECT_TRUE(PutAll(server.channel(), request, prompt).end.ok());
  ExpectServed(GetAll(server.channel(), GetRequestOf(request)), request, prompt,
               ReferenceKept(request, prompt).positions);
}

// Cancels a get at each of its messages, quiesces, and overwrites its pages: nothing may land in them afterwards.
TEST_P(RegionLifecycleTest, AfterQuiescingACancelledGetNothingLandsInItsPages) {
  TestServer server(Options());
  const PutRequest put = FullRequest();
  ASSERT_TRUE(PutAll(server.channel(), put, MakePrompt(put)).end.ok());
  LocalClient client(server.server_options().local_socket.path);
  SharedFile file(kFileBytes);
  const std::string region_id = RegisterFile(client, server.stub(), file, kFileBytes, GetParam());
  for (int messages = 0; messages < 7; ++messages) {
    v1::GetCacheRequest request = GetRequestOf(put);
    request.set_transfer_id("cancelled " + std::to_string(messages));
    *request.mutable_target() = DenseTarget(region_id, put);
    RawStream get(server.channel(), "GetCache");
    get.Send(request);
    get.HalfClose();
    for (int received = 0; received < messages; ++received) EXPECT_TRUE(get.Receive().has_value());
    get.Cancel();
    EXPECT_TRUE(server.Quiesce(request.transfer_id()));
    std::memset(file.bytes().data(), 0x5a, kFileBytes);
    server.ExpectAtRest();
    EXPECT_TRUE(std::all_of(file.bytes().begin(), file.bytes().end(), [](std::byte b) { return b == std::byte{0x5a}; }))
        << messages;
  }
}

std::string NameOfKind(const testing::TestParamInfo<RegionKind>& info) {
  const char* const names[] = {"SharedMemory", "CudaIpc", "CudaDescriptors"};
  return names[static_cast<int>(info.param)];
}

INSTANTIATE_TEST_SUITE_P(Kinds, RegionLifecycleTest,
                         testing::Values(RegionKind::kSharedMemory, RegionKind::kCudaIpc,
                                         RegionKind::kCudaDescriptors),
                         NameOfKind);

// --- Mapping ---

v1::GetCacheRequest MapRequestOf(const PutRequest& put) {
  v1::GetCacheRequest request = GetRequestOf(put);
  request.mutable_target()->set_map(true);
  return request;
}

TEST(MappingTest, GivesTheEntrysBytesSealedUntilTheyAreReleased) {
  TestServer server;
  const PutRequest put = SmallRequest();
  const Prompt prompt = MakePrompt(put);
  ASSERT_TRUE(PutAll(server.channel(), put, prompt).end.ok());
  const GotEntry inline_entry = GetAll(server.channel(), GetRequestOf(put));
  const GotEntry got = GetAll(server.channel(), MapRequestOf(put));
  ASSERT_TRUE(got.end.ok()) << got.end;
  EXPECT_TRUE(got.tensors.empty());
  const v1::Mapping& mapping = got.header.mapping();
  ASSERT_EQ(mapping.tensors_size(), 6);

  LocalClient client(server.server_options().local_socket.path);
  const ReceivedLocalMessage fetched = client.Map(mapping.token());
  ASSERT_EQ(LocalClient::ReasonOf(fetched), "");
  EXPECT_EQ(LocalClient::ReasonOf(client.Map(mapping.token())), "TOKEN_NOT_FOUND");  // good once
  const int descriptor = fetched.descriptor.get();
  const auto size = static_cast<size_t>(mapping.size_bytes());
  void* const address = mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptor, 0);
  ASSERT_NE(address, MAP_FAILED);
  for (const v1::TensorPlace& place : mapping.tensors()) {
    const auto* const begin = static_cast<const std::byte*>(address) + place.offset_bytes();
    EXPECT_EQ(Bytes(begin, begin + place.size_bytes()), inline_entry.tensor(place.layer(), place.tensor()));
  }

  // Nobody changes it.
  EXPECT_EQ(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), MAP_FAILED);
  EXPECT_EQ(pwrite(descriptor, "x", 1, 0), -1);
  EXPECT_EQ(ftruncate(descriptor, 0), -1);
  EXPECT_EQ(fallocate(descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);

  // It outlives the entry, and stays charged until it is released.
  grpc::ClientContext context;
  v1::DeleteCachesRequest deletion;
  deletion.add_entries()->set_entry_id(got.header.entry_id());
  v1::DeleteCachesResponse response;
  ASSERT_TRUE(server.stub().DeleteCaches(&context, deletion, &response).ok());
  EXPECT_EQ(server.store().Stats().entries, 0);
  EXPECT_GT(server.store().Stats().used_bytes, 0);
  EXPECT_EQ(static_cast<const std::byte*>(address)[mapping.tensors(0).offset_bytes()],
            inline_entry.tensor(mapping.tensors(0).layer(), mapping.tensors(0).tensor())[0]);
  client.Release(mapping.token());
  EXPECT_TRUE(TestServer::Eventually([&] { return server.store().Stats().used_bytes == 0; }));
  munmap(address, size);
  ExpectNothingLent(server);
}

TEST(MappingTest, IsGivenOnTheSocketItselfOnceOneWasFetched) {
  TestServer server;
  const PutRequest put = SmallRequest();
  ASSERT_TRUE(PutAll(server.channel(), put, MakePrompt(put)).end.ok());
  const std::string request = MapRequestOf(put).SerializeAsString();
  LocalClient client(server.server_options().local_socket.path);
  EXPECT_EQ(LocalClient::ReasonOf(client.Get(request)), "NOTHING_MAPPED");
  const GotEntry got = GetAll(server.channel(), MapRequestOf(put));
  EXPECT_EQ(LocalClient::ReasonOf(client.Map(got.header.mapping().token())), "");

  const ReceivedLocalMessage answer = client.Get(request);
  ASSERT_EQ(LocalClient::ReasonOf(answer), "");
  v1::GetHeader header;
  ASSERT_TRUE(header.ParseFromString(answer.body));
  EXPECT_TRUE(answer.descriptor.is_open());
  EXPECT_NE(header.mapping().token(), got.header.mapping().token());
  header.clear_mapping();
  v1::GetHeader expected = got.header;
  expected.clear_mapping();
  EXPECT_EQ(header.SerializeAsString(), expected.SerializeAsString());
  EXPECT_EQ(server.server().local_holdings(), 2);

  // Whatever is wrong, the connection goes on.
  v1::GetCacheRequest other = MapRequestOf(put);
  other.mutable_prompt()->set_key(std::string(32, 'x'));
  EXPECT_EQ(LocalClient::ReasonOf(client.Get(other.SerializeAsString())), "ENTRY_NOT_FOUND");
  other = MapRequestOf(put);
  other.set_wait_ms(1000);
  EXPECT_EQ(LocalClient::ReasonOf(client.Get(other.SerializeAsString())), "USE_GRPC");
  EXPECT_EQ(LocalClient::ReasonOf(client.Get(GetRequestOf(put).SerializeAsString())), "USE_GRPC");
  EXPECT_EQ(LocalClient::ReasonOf(client.Get("\xff\xff\xff")), "MALFORMED_MESSAGE");
  EXPECT_EQ(LocalClient::ReasonOf(client.Get(request)), "");
}

// Anything that is no message of ours: the connection is closed, others are not harmed, and no descriptor stays open.
TEST(LocalSocketTest, ClosesConnectionsThatSayAnythingElse) {
  TestServer server;
  const std::string path = server.server_options().local_socket.path;
  LocalClient good(path);
  const SharedFile file(kFileBytes);
  EXPECT_NE(good.Offer(file.descriptor()), Bytes32{});  // the server, in this process, has its end of the connection
  const auto open_descriptors = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator());
  };
  const auto before = open_descriptors();
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    LocalClient client(path);
    std::string bytes(random() % 90, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    if (round % 3 == 0 && bytes.size() >= 8) {
      const uint32_t head[2] = {LocalMessage::kMagic, static_cast<uint32_t>(random() % 6)};
      std::memcpy(bytes.data(), head, sizeof head);
    }
    LocalMessage message;
    std::memcpy(&message, bytes.data(), std::min(bytes.size(), sizeof message));
    const bool is_whole = bytes.size() >= sizeof message && message.magic == LocalMessage::kMagic;
    if (is_whole) {
      SendLocalMessage(client.connection(), message, round % 2 == 0 ? file.descriptor() : -1,
                       std::string_view(bytes).substr(sizeof message));
    } else if (!bytes.empty()) {
      send(client.connection(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    }
    shutdown(client.connection(), SHUT_WR);
    while (ReceiveLocalMessage(client.connection()).message.has_value()) {
    }
  }
  EXPECT_NE(good.Offer(file.descriptor()), Bytes32{});
  EXPECT_TRUE(TestServer::Eventually([&] { return server.server().local_holdings() == 2; }));
  EXPECT_TRUE(TestServer::Eventually([&] { return open_descriptors() == before + 1; }));
}

TEST(LocalSocketTest, ReplacesASocketThatNobodyListensOnAndRefusesOneInUse) {
  TestServer server;
  ServerOptions options = SmallServer();
  options.local_socket.path = server.server_options().local_socket.path;
  EXPECT_EQ(StatusReason(Server::Start(options, server.clock()).status()), "CANNOT_LISTEN");
  options.local_socket.path = testing::TempDir() + "chunkkv-abandoned-" + std::to_string(getpid());
  {
    const FileDescriptor abandoned(socket(AF_UNIX, SOCK_SEQPACKET, 0));
    const sockaddr_un address = LocalAddress(options.local_socket.path).value();
    ASSERT_EQ(bind(abandoned.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  EXPECT_TRUE(Server::Start(options, server.clock()).ok());
  options.local_socket.path = std::string(200, 'p');
  EXPECT_EQ(StatusReason(Server::Start(options, server.clock()).status()), "BAD_LOCAL_SOCKET");
}

TEST(MappingTest, EndsWithTheClient) {
  TestServer server;
  const PutRequest put = SmallRequest();
  ASSERT_TRUE(PutAll(server.channel(), put, MakePrompt(put)).end.ok());
  const GotEntry got = GetAll(server.channel(), MapRequestOf(put));
  {
    LocalClient client(server.server_options().local_socket.path);
    EXPECT_EQ(LocalClient::ReasonOf(client.Map(got.header.mapping().token())), "");
    EXPECT_EQ(server.server().local_holdings(), 1);
  }
  ExpectNothingLent(server);
  server.ExpectAtRest();
}

TEST(MappingTest, IsNotForAnotherClientToRelease) {
  TestServer server;
  const PutRequest put = SmallRequest();
  ASSERT_TRUE(PutAll(server.channel(), put, MakePrompt(put)).end.ok());
  const std::string token = GetAll(server.channel(), MapRequestOf(put)).header.mapping().token();
  LocalClient client(server.server_options().local_socket.path);
  EXPECT_EQ(LocalClient::ReasonOf(client.Map(token)), "");
  LocalClient other(server.server_options().local_socket.path);
  other.Release(token);
  EXPECT_EQ(LocalClient::ReasonOf(other.Map(token)), "TOKEN_NOT_FOUND");  // the release before it was read
  EXPECT_EQ(server.server().local_holdings(), 1);
}

TEST(MappingTest, ThatNobodyFetchesExpires) {
  TestServer server;
  const PutRequest put = SmallRequest();
  ASSERT_TRUE(PutAll(server.channel(), put, MakePrompt(put)).end.ok());
  const std::string token = GetAll(server.channel(), MapRequestOf(put)).header.mapping().token();
  EXPECT_EQ(server.server().local_holdings(), 1);
  server.clock().AdvanceMs(MappingTable::kFetchWithinMs + 1000);
  ExpectNothingLent(server);
  LocalClient client(server.server_options().local_socket.path);
  EXPECT_EQ(LocalClient::ReasonOf(client.Map(token)), "TOKEN_NOT_FOUND");
}

}  // namespace
}  // namespace chunkkv
