// What wrong offers of device memory get, through the real stack: a host stands for the device.
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <string>

#include "service/rpc/wire_bytes.h"
#include "tests/integration/bad_input.h"
#include "tests/support/host_device_memory.h"
#include "tests/support/local_client.h"

namespace chunkkv {
namespace {

using Register = v1::RegisterRegionRequest;

constexpr int64_t kBytes = int64_t{4} << 20;
constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();

class BadDeviceRegionTest : public testing::TestWithParam<BadInput> {};

TEST_P(BadDeviceRegionTest, IsRefusedByName) { ExpectRefused(GetParam(), ServerWithDeviceRegions()); }

struct Owner {
  explicit Owner(TestServer& server) : client(server.server_options().local_socket.path), memory(kBytes) {}
  std::string Offer(int descriptor) { return rpc::ToString(client.Offer(descriptor)); }
  LocalClient client;
  SharedFile memory;
};
using Change = std::function<void(Register&, Owner&)>;

std::function<RpcEnd(TestServer&)> WithHandle(Change change) {
  return [change = std::move(change)](TestServer& server) {
    Owner owner(server);
    Register request;
    request.set_kind(Register::CUDA_IPC);
    request.set_token(owner.Offer(-1));
    request.set_size_bytes(kBytes);
    const IpcHandle handle = HostDeviceMemory::HandleOf(owner.memory.descriptor(), kBytes);
    request.set_cuda_ipc_handle(handle.data(), handle.size());
    change(request, owner);
    return Call(server, &Stub::RegisterRegion, request);
  };
}

std::function<RpcEnd(TestServer&)> WithSegments(Change change) {
  return [change = std::move(change)](TestServer& server) {
    Owner owner(server);
    Register request;
    request.set_kind(Register::CUDA_POSIX_DESCRIPTOR);
    request.set_size_bytes(kBytes);
    request.add_segments()->set_token(owner.Offer(owner.memory.descriptor()));
    request.mutable_segments(0)->set_size_bytes(kBytes);
    change(request, owner);
    return Call(server, &Stub::RegisterRegion, request);
  };
}

const BadInput kHandles[] = {
    {"HandleShort", kInvalid, "BAD_IPC_HANDLE",
     WithHandle([](Register& r, Owner&) { r.set_cuda_ipc_handle("handle"); })},
    {"HandleOfNothing", kPrecondition, "NOT_IPC_MEMORY",
     WithHandle([](Register& r, Owner&) { r.set_cuda_ipc_handle(std::string(64, 'h')); })},
    {"OffsetNegative", kInvalid, "BAD_REGION_OFFSET",
     WithHandle([](Register& r, Owner&) { r.set_cuda_ipc_offset_bytes(-1); })},
    {"OffsetPastTheEnd", kInvalid, "BAD_REGION_SIZE",
     WithHandle([](Register& r, Owner&) { r.set_cuda_ipc_offset_bytes(kBytes + 1); })},
    {"OffsetAndSizePastTheEnd", kInvalid, "BAD_REGION_SIZE",
     WithHandle([](Register& r, Owner&) { r.set_cuda_ipc_offset_bytes(1); })},
    {"OffsetAndSizeOverflow", kInvalid, "BAD_REGION_SIZE", WithHandle([](Register& r, Owner&) {
       r.set_cuda_ipc_offset_bytes(kBytes);
       r.set_size_bytes(kHuge);
     })},
    {"SizeZero", kInvalid, "BAD_REGION_SIZE", WithHandle([](Register& r, Owner&) { r.set_size_bytes(0); })},
    {"SizeNegative", kInvalid, "BAD_REGION_SIZE", WithHandle([](Register& r, Owner&) { r.set_size_bytes(-kBytes); })},
    {"TokenShort", kInvalid, "BAD_TOKEN", WithHandle([](Register& r, Owner&) { r.set_token("token"); })},
    {"TokenOfNothing", kNotFound, "TOKEN_NOT_FOUND",
     WithHandle([](Register& r, Owner&) { r.set_token(std::string(32, 't')); })},
};

const BadInput kSegments[] = {
    {"SegmentsMissing", kInvalid, "SEGMENTS_MISSING", WithSegments([](Register& r, Owner&) { r.clear_segments(); })},
    {"SegmentSizeZero", kInvalid, "BAD_SEGMENT_SIZE",
     WithSegments([](Register& r, Owner&) { r.mutable_segments(0)->set_size_bytes(0); })},
    {"SegmentSizeNegative", kInvalid, "BAD_SEGMENT_SIZE",
     WithSegments([](Register& r, Owner&) { r.mutable_segments(0)->set_size_bytes(-kBytes); })},
    {"SegmentSizeUneven", kInvalid, "BAD_SEGMENT_SIZE",
     WithSegments([](Register& r, Owner&) { r.mutable_segments(0)->set_size_bytes(kBytes - 1); })},
    {"SegmentSizesOverflow", kInvalid, "BAD_SEGMENT_SIZE", WithSegments([](Register& r, Owner& owner) {
       for (int i = 0; i < 2; ++i) {
         r.add_segments()->set_token(owner.Offer(owner.memory.descriptor()));
         r.mutable_segments(i)->set_size_bytes(kHuge / kBytes * kBytes);
       }
     })},
    {"SegmentOfAnotherSize", kPrecondition, "NOT_DEVICE_MEMORY",
     WithSegments([](Register& r, Owner&) { r.mutable_segments(0)->set_size_bytes(2 * kBytes); })},
    {"SegmentOfSomethingElse", kPrecondition, "NOT_DEVICE_MEMORY", WithSegments([](Register& r, Owner& owner) {
       r.mutable_segments(0)->set_token(owner.Offer(owner.client.connection()));
     })},
    {"SegmentWithoutADescriptor", kPrecondition, "DESCRIPTOR_MISSING",
     WithSegments([](Register& r, Owner& owner) { r.mutable_segments(0)->set_token(owner.Offer(-1)); })},
    {"SegmentTwice", kNotFound, "TOKEN_NOT_FOUND",
     WithSegments([](Register& r, Owner&) { *r.add_segments() = Register::Segment(r.segments(0)); })},
    {"SegmentTokenShort", kInvalid, "BAD_TOKEN",
     WithSegments([](Register& r, Owner&) { r.mutable_segments(0)->set_token("token"); })},
    {"SizeAboveTheSegments", kInvalid, "BAD_REGION_SIZE",
     WithSegments([](Register& r, Owner&) { r.set_size_bytes(kBytes + 1); })},
    {"OffsetPastTheSegments", kInvalid, "BAD_REGION_SIZE",
     WithSegments([](Register& r, Owner&) { r.set_segments_offset_bytes(kHuge); })},
};

INSTANTIATE_TEST_SUITE_P(Handles, BadDeviceRegionTest, testing::ValuesIn(kHandles), NameOfRow);
INSTANTIATE_TEST_SUITE_P(Segments, BadDeviceRegionTest, testing::ValuesIn(kSegments), NameOfRow);

}  // namespace
}  // namespace chunkkv
