// What wrong requests get that lend memory, or name it, through the real stack.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>
#include <limits>
#include <memory>
#include <string>

#include "service/rpc/wire_bytes.h"
#include "tests/integration/bad_input.h"
#include "tests/support/get_client.h"
#include "tests/support/local_client.h"
#include "tests/support/put_client.h"

namespace chunkkv {
namespace {

class BadRegionTest : public testing::TestWithParam<BadInput> {};

TEST_P(BadRegionTest, IsRefusedByName) { ExpectRefused(GetParam()); }

using Register = v1::RegisterRegionRequest;

constexpr int64_t kFileBytes = int64_t{1} << 20;
constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
// Keys of SmallRequest: [96, 2, 8] of float32.
constexpr int64_t kHeadBytes = 8 * 4;
constexpr int64_t kRowBytes = 2 * kHeadBytes;
constexpr int64_t kKeyBytes = 96 * kRowBytes;

// A client with a region of its own.
struct Lender {
  explicit Lender(TestServer& server, int64_t size_bytes = kFileBytes)
      : client(server.server_options().local_socket.path), file(size_bytes) {
    region_id = RegisterFile(client, server.stub(), file, size_bytes);
    EXPECT_EQ(region_id.size(), 16u);
  }
  LocalClient client;
  SharedFile file;
  std::string region_id;
};

// To register what `client` offers now.
Register Offered(LocalClient& client, int descriptor) {
  Register request;
  request.set_token(rpc::ToString(client.Offer(descriptor)));
  request.set_kind(Register::SHARED_MEMORY);
  request.set_size_bytes(kFileBytes);
  return request;
}

// Registers an offer of a good file, changed.
std::function<RpcEnd(TestServer&)> Registering(std::function<void(Register&)> change) {
  return [change = std::move(change)](TestServer& server) {
    LocalClient client(server.server_options().local_socket.path);
    const SharedFile file(kFileBytes);
    Register request = Offered(client, file.descriptor());
    change(request);
    return Call(server, &Stub::RegisterRegion, request);
  };
}

std::function<RpcEnd(TestServer&)> Offering(std::function<int()> open) {
  return [open = std::move(open)](TestServer& server) {
    LocalClient client(server.server_options().local_socket.path);
    const FileDescriptor descriptor(open());
    Register request = Offered(client, descriptor.get());
    return Call(server, &Stub::RegisterRegion, request);
  };
}

int OpenFileOnDisk() {
  const std::string path = testing::TempDir() + "chunkkv-region-on-disk-" + std::to_string(getpid());
  const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  unlink(path.c_str());
  EXPECT_EQ(ftruncate(descriptor, kFileBytes), 0);
  return descriptor;
}

int OpenWriteOnly() {
  const SharedFile file(kFileBytes);
  return open(("/proc/self/fd/" + std::to_string(file.descriptor())).c_str(), O_WRONLY | O_CLOEXEC);
}

const BadInput kRegistering[] = {
    {"TokenOfNothing", kNotFound, "TOKEN_NOT_FOUND",
     Registering([](Register& r) { r.set_token(std::string(32, 't')); })},
    {"TokenShort", kInvalid, "BAD_TOKEN", Registering([](Register& r) { r.set_token("token"); })},
    {"KindUnset", kInvalid, "BAD_ENUM", Registering([](Register& r) { r.clear_kind(); })},
    {"KindUnknown", kInvalid, "BAD_ENUM",
     Registering([](Register& r) { r.set_kind(static_cast<Register::Kind>(99)); })},
    {"SizeZero", kInvalid, "BAD_REGION_SIZE", Registering([](Register& r) { r.set_size_bytes(0); })},
    {"SizeNegative", kInvalid, "BAD_REGION_SIZE", Registering([](Register& r) { r.set_size_bytes(-1); })},
    {"SizeAboveTheFiles", kPrecondition, "REGION_NOT_POPULATED",
     Registering([](Register& r) { r.set_size_bytes(kFileBytes + 1); })},
    {"SizeHuge", kPrecondition, "REGION_NOT_POPULATED", Registering([](Register& r) { r.set_size_bytes(kHuge); })},
    {"NameLikeAPath", kInvalid, "BAD_NAME", Registering([](Register& r) { r.set_name("../region"); })},
    {"TokenTwice", kNotFound, "TOKEN_NOT_FOUND",
     [](TestServer& server) {
       LocalClient client(server.server_options().local_socket.path);
       const SharedFile file(kFileBytes);
       Register request = Offered(client, file.descriptor());
       EXPECT_TRUE(Call(server, &Stub::RegisterRegion, request).ok());
       return Call(server, &Stub::RegisterRegion, request);
     }},
    {"TokenOfAClientThatIsGone", kNotFound, "TOKEN_NOT_FOUND",
     [](TestServer& server) {
       LocalClient client(server.server_options().local_socket.path);
       const SharedFile file(kFileBytes);
       Register request = Offered(client, file.descriptor());
       client.Close();
       EXPECT_TRUE(TestServer::Eventually([&] { return server.server().local_holdings() == 0; }));
       return Call(server, &Stub::RegisterRegion, request);
     }},
    {"WithoutADescriptor", kPrecondition, "DESCRIPTOR_MISSING", Offering([] { return -1; })},
    {"CudaIpcWhereItIsNotEnabled", kPrecondition, "DEVICE_REGIONS_DISABLED",
     Registering([](Register& r) { r.set_kind(Register::CUDA_IPC); })},
    {"CudaDescriptorsWhereTheyAreNotEnabled", kPrecondition, "DEVICE_REGIONS_DISABLED",
     Registering([](Register& r) { r.set_kind(Register::CUDA_POSIX_DESCRIPTOR); })},
    {"Sparse", kPrecondition, "REGION_NOT_POPULATED",
     Offering([] { return dup(SharedFile(kFileBytes, /*sparse=*/true).descriptor()); })},
    {"FileOnDisk", kPrecondition, "NOT_SHARED_MEMORY", Offering(OpenFileOnDisk)},
    {"DeviceFile", kPrecondition, "NOT_SHARED_MEMORY", Offering([] { return open("/dev/zero", O_RDWR | O_CLOEXEC); })},
    {"WriteOnly", kPrecondition, "NOT_SHARED_MEMORY", Offering(OpenWriteOnly)},
    {"UnregisterNothing", kNotFound, "REGION_NOT_FOUND",
     [](TestServer& server) {
       v1::UnregisterRegionRequest request;
       request.set_region_id(std::string(16, 'r'));
       return Call(server, &Stub::UnregisterRegion, request);
     }},
    {"UnregisterAShortId", kInvalid, "BAD_REGION_ID",
     [](TestServer& server) { return Call(server, &Stub::UnregisterRegion, v1::UnregisterRegionRequest()); }},
    {"QuiesceWithoutAnId", kInvalid, "TRANSFER_ID_MISSING",
     [](TestServer& server) { return Call(server, &Stub::QuiesceTransfer, v1::QuiesceTransferRequest()); }},
    {"QuiesceALongId", kInvalid, "TRANSFER_ID_TOO_LONG",
     [](TestServer& server) {
       v1::QuiesceTransferRequest request;
       request.set_transfer_id(std::string(33, 't'));
       return Call(server, &Stub::QuiesceTransfer, request);
     }},
};

// A put of SmallRequest whose first layer's keys are this slice, which must be right but for the change.
std::function<RpcEnd(TestServer&)> Slicing(std::function<void(v1::RegionSlice&, Lender&)> change,
                                           std::function<void(v1::Begin&)> change_begin = {}) {
  return [change = std::move(change), change_begin = std::move(change_begin)](TestServer& server) {
    Lender lender(server);
    PutClient client(server.channel());
    v1::Begin begin = BeginOf(SmallRequest());
    begin.set_transfer_id("transfer");
    if (change_begin) change_begin(begin);
    EXPECT_TRUE(client.Begin(begin).has_value());
    v1::PutCacheRequest message = InlinePart(RowsPart(SmallRequest(), 0, 0, 0, 96), {});
    v1::TensorPayload* payload = message.mutable_part()->mutable_payload();
    payload->Clear();
    payload->mutable_region()->set_region_id(lender.region_id);
    payload->mutable_region()->set_length_bytes(kKeyBytes);
    change(*payload->mutable_region(), lender);
    client.Send(message);
    return client.Finish();
  };
}

std::function<RpcEnd(TestServer&)> Dense(std::function<void(v1::RegionSlice&)> change) {
  return Slicing([change = std::move(change)](v1::RegionSlice& slice, Lender&) { change(slice); });
}

// Of 6 blocks of 16 tokens.
std::function<RpcEnd(TestServer&)> Paged(std::function<void(v1::RegionSlice::PagedSlice&)> change) {
  return Dense([change = std::move(change)](v1::RegionSlice& slice) {
    v1::RegionSlice::PagedSlice* pages = slice.mutable_pages();
    pages->set_row_bytes(kHeadBytes);
    pages->set_head_stride_bytes(kHeadBytes);
    pages->set_slot_stride_bytes(kRowBytes);
    pages->set_block_size(16);
    pages->set_block_stride_bytes(16 * kRowBytes);
    for (int id = 0; id < 6; ++id) pages->add_block_ids(id);
    change(*pages);
  });
}

const BadInput kSlices[] = {
    {"RegionOfNothing", kNotFound, "REGION_NOT_FOUND", Dense([](auto& s) { s.set_region_id(std::string(16, 'r')); })},
    {"RegionIdShort", kInvalid, "BAD_REGION_ID", Dense([](auto& s) { s.clear_region_id(); })},
    {"TransferIdMissing", kInvalid, "TRANSFER_ID_MISSING",
     Slicing([](auto&, auto&) {}, [](auto& b) { b.clear_transfer_id(); })},
    {"OffsetNegative", kInvalid, "SLICE_OUT_OF_BOUNDS", Dense([](auto& s) { s.set_offset_bytes(-1); })},
    {"OffsetHuge", kInvalid, "SLICE_OUT_OF_BOUNDS", Dense([](auto& s) { s.set_offset_bytes(kHuge); })},
    {"OffsetPastTheEnd", kInvalid, "SLICE_OUT_OF_BOUNDS",
     Dense([](auto& s) { s.set_offset_bytes(kFileBytes - kKeyBytes + 1); })},
    {"LengthOfAnotherShape", kInvalid, "PART_SIZE", Dense([](auto& s) { s.set_length_bytes(kKeyBytes - 1); })},
    {"LengthNegative", kInvalid, "PART_SIZE", Dense([](auto& s) { s.set_length_bytes(-kKeyBytes); })},
    {"PageRowsOfAnotherSize", kInvalid, "PAGE_ROW_BYTES", Paged([](auto& p) { p.set_row_bytes(kHeadBytes + 4); })},
    {"BlockSizeZero", kInvalid, "BAD_BLOCK_SIZE", Paged([](auto& p) { p.set_block_size(0); })},
    {"BlockSizeNegative", kInvalid, "BAD_BLOCK_SIZE", Paged([](auto& p) { p.set_block_size(-16); })},
    {"FirstSlotPastTheBlock", kInvalid, "BAD_BLOCK_SIZE", Paged([](auto& p) { p.set_first_slot(16); })},
    {"FirstSlotNegative", kInvalid, "BAD_BLOCK_SIZE", Paged([](auto& p) { p.set_first_slot(-1); })},
    {"BlockIdsMissing", kInvalid, "BAD_BLOCK_IDS", Paged([](auto& p) { p.clear_block_ids(); })},
    {"BlockIdsTooFew", kInvalid, "BAD_BLOCK_IDS", Paged([](auto& p) { p.mutable_block_ids()->RemoveLast(); })},
    {"BlockIdRepeated", kInvalid, "BAD_BLOCK_IDS", Paged([](auto& p) { p.set_block_ids(3, 5); })},
    {"BlockIdNegative", kInvalid, "BAD_BLOCK_IDS", Paged([](auto& p) { p.set_block_ids(3, -1); })},
    {"BlockIdOutOfRange", kInvalid, "SLICE_OUT_OF_BOUNDS",
     Paged([](auto& p) { p.set_block_ids(3, kFileBytes / (16 * kRowBytes)); })},
    {"BlockIdHuge", kInvalid, "SLICE_OUT_OF_BOUNDS",
     Paged([](auto& p) { p.set_block_ids(3, std::numeric_limits<int32_t>::max()); })},
    {"StrideWraps", kInvalid, "SLICE_OUT_OF_BOUNDS", Paged([](auto& p) { p.set_block_stride_bytes(kHuge); })},
    {"StrideLeavesTheRegion", kInvalid, "SLICE_OUT_OF_BOUNDS",
     Paged([](auto& p) { p.set_block_stride_bytes(kFileBytes / 5); })},
    {"StrideNegative", kInvalid, "SLICE_OUT_OF_BOUNDS", Paged([](auto& p) { p.set_slot_stride_bytes(-kRowBytes); })},
    {"SlotsOverlap", kInvalid, "STRIDES_OVERLAP", Paged([](auto& p) { p.set_slot_stride_bytes(kRowBytes - 1); })},
    {"BlocksOverlap", kInvalid, "STRIDES_OVERLAP", Paged([](auto& p) { p.set_block_stride_bytes(kRowBytes); })},
    {"HeadsOverlap", kInvalid, "STRIDES_OVERLAP", Paged([](auto& p) { p.set_head_stride_bytes(0); })},
    {"PageOffsetHuge", kInvalid, "SLICE_OUT_OF_BOUNDS", Paged([](auto& p) { p.set_offset_bytes(kHuge); })},
    {"ContentDigestOfRowsThatAreNotRead", kUnimplemented, "CONTENT_DIGEST",
     Slicing([](auto&, auto&) {}, [](auto& b) { b.set_content_digest(std::string(16, 'd')); })},
    {"TruncatedUnderOurFeet", kPrecondition, "REGION_LOST",
     Slicing([](auto&, Lender& lender) { lender.file.Truncate(kKeyBytes / 2); })},
    {"PunchedUnderOurFeet", kPrecondition, "REGION_LOST",
     Slicing([](auto&, Lender& lender) { lender.file.PunchHole(0, kFileBytes / 2); })},
    {"ClientOfTheRegionIsGone", kNotFound, "REGION_NOT_FOUND",
     [](TestServer& server) {
       return Slicing([&server](auto&, Lender& lender) {
         lender.client.Close();
         EXPECT_TRUE(TestServer::Eventually([&] { return server.server().local_holdings() == 0; }));
       })(server);
     }},
    {"TransferIdInUse", kPrecondition, "TRANSFER_ID_IN_USE",
     [](TestServer& server) {
       v1::Begin begin = BeginOf(SmallRequest());
       begin.set_transfer_id("transfer");
       PutClient first(server.channel());
       EXPECT_TRUE(first.Begin(begin).has_value());
       PutClient second(server.channel());
       EXPECT_FALSE(second.Begin(begin).has_value());
       return second.Finish();
     }},
    {"TransferQuiescedBeforeItBegan", grpc::StatusCode::ABORTED, "TRANSFER_QUIESCED",
     [](TestServer& server) {
       v1::QuiesceTransferRequest quiesce;
       quiesce.set_transfer_id("transfer");
       EXPECT_TRUE(Call(server, &Stub::QuiesceTransfer, quiesce).ok());
       v1::Begin begin = BeginOf(SmallRequest());
       begin.set_transfer_id("transfer");
       PutClient client(server.channel());
       EXPECT_FALSE(client.Begin(begin).has_value());
       return client.Finish();
     }},
};

// A get of a stored full entry into a good target, changed.
std::function<RpcEnd(TestServer&)> Getting(std::function<void(v1::GetCacheRequest&, Lender&)> change) {
  return [change = std::move(change)](TestServer& server) {
    PutRequest put = SmallRequest();
    put.spec = CompactionSpec();
    put.score_source = ScoreSource::kNone;
    EXPECT_TRUE(PutAll(server.channel(), put, MakePrompt(put)).end.ok());
    Lender lender(server);
    v1::GetCacheRequest request = GetRequestOf(put);
    request.set_transfer_id("transfer");
    *request.mutable_target() = DenseTarget(lender.region_id, put);
    change(request, lender);
    return GetAll(server.channel(), request).end;
  };
}

std::function<RpcEnd(TestServer&)> Aiming(std::function<void(v1::GetCacheRequest::Target&)> change) {
  return Getting([change = std::move(change)](v1::GetCacheRequest& r, Lender&) { change(*r.mutable_target()); });
}

std::function<RpcEnd(TestServer&)> Whole(int64_t offset, int64_t length) {
  return Getting([offset, length](v1::GetCacheRequest& request, Lender& lender) {
    request.mutable_target()->Clear();
    request.mutable_target()->mutable_whole()->set_region_id(lender.region_id);
    request.mutable_target()->mutable_whole()->set_offset_bytes(offset);
    request.mutable_target()->mutable_whole()->set_length_bytes(length);
  });
}

const BadInput kTargets[] = {
    {"TargetOfNothing", kInvalid, "BAD_TARGET", Aiming([](auto& t) { t.clear_layers(); })},
    {"TargetOfTwoKinds", kInvalid, "BAD_TARGET", Aiming([](auto& t) { t.set_map(true); })},
    {"TargetTensorUnset", kInvalid, "BAD_TENSOR", Aiming([](auto& t) { t.mutable_layers(0)->clear_tensor(); })},
    {"TargetTensorMissing", kInvalid, "TARGET_MISSING", Aiming([](auto& t) { t.mutable_layers()->RemoveLast(); })},
    {"TargetTensorTwice", kInvalid, "TARGET_REPEATED", Aiming([](auto& t) { *t.add_layers() = t.layers(0); })},
    {"TargetLayerUnknown", kInvalid, "TARGET_UNKNOWN", Aiming([](auto& t) {
       *t.add_layers() = t.layers(0);
       t.mutable_layers(t.layers_size() - 1)->set_layer(7);
     })},
    {"TargetRegionUnknown", kNotFound, "REGION_NOT_FOUND",
     Aiming([](auto& t) { t.mutable_layers(0)->mutable_slice()->set_region_id(std::string(16, 'r')); })},
    {"TargetTooSmall", kPrecondition, "TARGET_TOO_SMALL",
     Aiming([](auto& t) { t.mutable_layers(0)->mutable_slice()->set_length_bytes(kKeyBytes - 1); })},
    {"TargetPastTheEnd", kInvalid, "SLICE_OUT_OF_BOUNDS",
     Aiming([](auto& t) { t.mutable_layers(0)->mutable_slice()->set_offset_bytes(kFileBytes - 1); })},
    {"TargetPagesTooFew", kPrecondition, "TARGET_TOO_SMALL",
     Aiming([](auto& t) { t.mutable_layers(0)->mutable_slice()->mutable_pages()->set_block_size(16); })},
    {"TargetWholeTooSmall", kPrecondition, "TARGET_TOO_SMALL", Whole(0, 3 * kKeyBytes)},
    {"TargetWholePastTheEnd", kInvalid, "SLICE_OUT_OF_BOUNDS", Whole(kFileBytes - kKeyBytes, kHuge / 16)},
    {"TargetWholeHuge", kInvalid, "SLICE_OUT_OF_BOUNDS", Whole(kHuge, kHuge)},
    {"TargetWholeNegative", kInvalid, "BAD_TARGET", Whole(-64, 6 * kKeyBytes)},
    {"TargetWithoutATransferId", kInvalid, "TRANSFER_ID_MISSING",
     Getting([](auto& r, Lender&) { r.clear_transfer_id(); })},
    {"TargetIsTruncated", kPrecondition, "REGION_LOST",
     Getting([](auto&, Lender& lender) { lender.file.Truncate(0); })},
    {"TargetIsPunched", kPrecondition, "REGION_LOST",
     Getting([](auto&, Lender& lender) { lender.file.PunchHole(0, kFileBytes); })},
    {"TargetIsReadOnly", kPrecondition, "REGION_READ_ONLY",
     [](TestServer& server) {
       return Getting([&server](auto& request, Lender& lender) {
         const int sealed = fcntl(lender.file.descriptor(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE);
         EXPECT_EQ(sealed, 0);
         const std::string region_id = RegisterFile(lender.client, server.stub(), lender.file, kFileBytes);
         request.mutable_target()->mutable_layers(0)->mutable_slice()->set_region_id(region_id);
       })(server);
     }},
    {"MapsALayer", kInvalid, "MAPS_WHOLE", Getting([](auto& r, Lender&) {
       r.mutable_target()->Clear();
       r.mutable_target()->set_map(true);
       r.mutable_layers()->set_end(1);
     })},
    {"MapsContiguousPositions", kInvalid, "MAPS_WHOLE", Getting([](auto& r, Lender&) {
       r.mutable_target()->Clear();
       r.mutable_target()->set_map(true);
       r.set_position_mode(v1::POSITION_MODE_CONTIGUOUS);
     })},
};

INSTANTIATE_TEST_SUITE_P(Registering, BadRegionTest, testing::ValuesIn(kRegistering), NameOfRow);
INSTANTIATE_TEST_SUITE_P(Slices, BadRegionTest, testing::ValuesIn(kSlices), NameOfRow);
INSTANTIATE_TEST_SUITE_P(Targets, BadRegionTest, testing::ValuesIn(kTargets), NameOfRow);

TEST(DisabledRegionsTest, AreRefusedByName) {
  ServerOptions options = SmallServer();
  options.local_socket.path.clear();
  options.map_entries = false;
  options.channels.enabled = false;
  TestServer server(options);
  for (const RpcEnd& end : {Call(server, &Stub::RegisterRegion, Register()),
                            Call(server, &Stub::UnregisterRegion, v1::UnregisterRegionRequest()),
                            Call(server, &Stub::ListRegions, v1::ListRegionsRequest()),
                            Call(server, &Stub::QuiesceTransfer, v1::QuiesceTransferRequest())}) {
    EXPECT_EQ(end.code, kPrecondition);
    EXPECT_EQ(end.reason, "REGIONS_DISABLED");
  }
  v1::GetCacheRequest get = GetRequestOf(SmallRequest());
  get.mutable_target()->set_map(true);
  EXPECT_EQ(GetAll(server.channel(), get).end.reason, "REGIONS_DISABLED");
  PutClient client(server.channel());
  EXPECT_TRUE(client.Begin(SmallRequest()).has_value());
  v1::PutCacheRequest part = InlinePart(RowsPart(SmallRequest(), 0, 0, 0, 96), {});
  part.mutable_part()->mutable_payload()->mutable_region()->set_region_id(std::string(16, 'r'));
  client.Send(part);
  EXPECT_EQ(client.Finish().reason, "REGIONS_DISABLED");
  server.ExpectAtRest();
}

TEST(DisabledMappingTest, IsRefusedByName) {
  ServerOptions options = SmallServer();
  options.map_entries = false;
  TestServer server(options);
  const PutRequest put = SmallRequest();
  EXPECT_TRUE(PutAll(server.channel(), put, MakePrompt(put)).end.ok());
  v1::GetCacheRequest get = GetRequestOf(put);
  get.mutable_target()->set_map(true);
  EXPECT_EQ(GetAll(server.channel(), get).end.reason, "MAPPING_DISABLED");
  server.ExpectAtRest();
}

}  // namespace
}  // namespace chunkkv
