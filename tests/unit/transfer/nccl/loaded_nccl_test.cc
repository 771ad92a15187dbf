// The real loader, on a small library in NCCL's place.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nccl.h>

#include <algorithm>

#include "chunkkv/kernels/status.h"
#include "service/transfer/nccl/nccl_library.h"
#include "tests/unit/transfer/nccl/fake_nccl_library.h"

namespace chunkkv {
namespace {

using ::testing::HasSubstr;
using Progress = NcclLibrary::Progress;

class LoadedNcclTest : public ::testing::Test {
 protected:
  LoadedNcclTest() {
    handle_ = dlopen(FAKE_NCCL_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    EXPECT_NE(handle_, nullptr) << dlerror();
    Function<void(int)>("FakeNcclState")(ncclSuccess);
    Function<void(int)>("FakeNcclVersion")(22707);
    library_ = LoadNccl(FAKE_NCCL_LIBRARY).value();
  }
  ~LoadedNcclTest() override { dlclose(handle_); }

  template <typename Signature>
  Signature* Function(const char* name) {
    return reinterpret_cast<Signature*>(dlsym(handle_, name));
  }
  FakeNcclCall LastCall() { return Function<FakeNcclCall()>("FakeNcclLastCall")(); }
  void FailNext(ncclResult_t result) { Function<void(int)>("FakeNcclNextResult")(result); }

  void* handle_ = nullptr;
  std::unique_ptr<NcclLibrary> library_;
  int anything_ = 0;
  const NcclLibrary::Comm comm_ = &anything_;
};

TEST_F(LoadedNcclTest, CallsWhatItIsAskedTo) {
  EXPECT_EQ(library_->version(), 22707);
  const auto id = library_->MakeUniqueId();
  ASSERT_TRUE(id.ok());
  EXPECT_TRUE(std::all_of(id->begin(), id->end(), [](uint8_t byte) { return byte == 7; }));

  const auto comm = library_->Begin(*id, 1, 2);
  ASSERT_TRUE(comm.ok());
  EXPECT_NE(*comm, nullptr);
  FakeNcclCall call = LastCall();
  EXPECT_EQ(call.blocking, 0);
  EXPECT_EQ(call.config_is_initialized, 1);
  EXPECT_EQ(call.rank, 1);
  EXPECT_EQ(call.type, 2);
  EXPECT_EQ(call.size_bytes, 7u);

  int memory = 0, stream = 0;
  EXPECT_TRUE(library_->Send(comm_, 1, &memory, 123, &stream).ok());
  call = LastCall();
  EXPECT_STREQ(call.name, "ncclSend");
  EXPECT_EQ(call.comm, comm_);
  EXPECT_EQ(call.memory, &memory);
  EXPECT_EQ(call.size_bytes, 123u);
  EXPECT_EQ(call.type, ncclUint8);
  EXPECT_EQ(call.rank, 1);
  EXPECT_EQ(call.stream, &stream);
  EXPECT_TRUE(library_->Receive(comm_, 0, &memory, size_t{5} << 32, &stream).ok());
  call = LastCall();
  EXPECT_STREQ(call.name, "ncclRecv");
  EXPECT_EQ(call.size_bytes, size_t{5} << 32);
  EXPECT_EQ(call.rank, 0);

  EXPECT_TRUE(library_->Finalize(comm_).ok());
  EXPECT_STREQ(LastCall().name, "ncclCommFinalize");
  EXPECT_TRUE(library_->Destroy(comm_).ok());
  EXPECT_STREQ(LastCall().name, "ncclCommDestroy");
  EXPECT_TRUE(library_->Abort(comm_).ok());
  EXPECT_STREQ(LastCall().name, "ncclCommAbort");
}

TEST_F(LoadedNcclTest, WhatIsInProgressIsNoError) {
  FailNext(ncclInProgress);
  EXPECT_TRUE(library_->Begin(NcclUniqueId(), 0, 2).ok());
  FailNext(ncclInProgress);
  EXPECT_TRUE(library_->Send(comm_, 1, nullptr, 1, nullptr).ok());
  EXPECT_EQ(library_->Poll(comm_).value(), Progress::kDone);
  Function<void(int)>("FakeNcclState")(ncclInProgress);
  EXPECT_EQ(library_->Poll(comm_).value(), Progress::kInProgress);
}

TEST_F(LoadedNcclTest, ErrorsSayWhatNcclSays) {
  FailNext(ncclInvalidArgument);
  absl::Status status = library_->Receive(comm_, 1, nullptr, 1, nullptr);
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(StatusReason(status), "NCCL_ERROR");
  EXPECT_EQ(status.message(), "ncclRecv: some error: the last words");
  for (const ncclResult_t lost : {ncclRemoteError, ncclSystemError}) {
    Function<void(int)>("FakeNcclState")(lost);
    status = library_->Poll(comm_).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(StatusReason(status), "PEER_LOST");
  }
  for (const ncclResult_t result : {ncclUnhandledCudaError, ncclInternalError, ncclInvalidUsage}) {
    Function<void(int)>("FakeNcclState")(result);
    EXPECT_EQ(StatusReason(library_->Poll(comm_).status()), "NCCL_ERROR");
  }
  FailNext(ncclSystemError);
  EXPECT_EQ(StatusReason(library_->MakeUniqueId().status()), "NCCL_ERROR");  // there is no peer yet
  FailNext(ncclUnhandledCudaError);
  EXPECT_EQ(StatusReason(library_->Begin(NcclUniqueId(), 0, 2).status()), "NCCL_ERROR");
}

TEST_F(LoadedNcclTest, AnOldLibraryIsRefused) {
  for (const int version : {2708, 21399, 0}) {
    Function<void(int)>("FakeNcclVersion")(version);
    const auto loaded = LoadNccl(FAKE_NCCL_LIBRARY);
    EXPECT_EQ(loaded.status().code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(StatusReason(loaded.status()), "NCCL_TOO_OLD");
    EXPECT_THAT(std::string(loaded.status().message()), HasSubstr(std::to_string(version)));
  }
  Function<void(int)>("FakeNcclVersion")(kOldestNcclVersion);
  EXPECT_TRUE(LoadNccl(FAKE_NCCL_LIBRARY).ok());
}

}  // namespace
}  // namespace chunkkv
