#include "proxy/upstream/hbone.h"

#include <gtest/gtest.h>

#include "proxy/test/patience.h"
#include "proxy/test/wire_peers.h"

namespace mizzen::proxy {
namespace {

class HboneTest : public ::testing::Test {
 protected:
  void open(const io::Address& to) {
    dial_ = io::connect(loop_, to, {}, [this](auto made) {
      hbone_ = open_hbone(loop_, std::move(*made), "10.1.0.7:8080", [this](auto result) {
        answered_ = true;
        if (result) {
          stream_ = std::move(*result);
        } else {
          reason_ = result.error().transport_reason;
        }
      });
    });
    ASSERT_TRUE(loop_.run_until([this] { return answered_; }, kPatience));
  }

  io::EpollLoop loop_;
  std::unique_ptr<io::Connecting> dial_;
  std::unique_ptr<HboneDial> hbone_;
  std::unique_ptr<io::Stream> stream_;
  std::string reason_;
  bool answered_ = false;
};

TEST_F(HboneTest, BytesGoBothWaysAndHalvesEnd) {
  EchoServer server(loop_, true);
  open(server.address());
  ASSERT_NE(stream_, nullptr) << reason_;
  const std::string sent(600'000, 'h');
  std::string_view rest = sent;
  std::string got;
  io::IoStatus last = io::IoStatus::kOk;
  ASSERT_TRUE(loop_.run_until(
      [&] {
        if (!rest.empty()) {
          rest.remove_prefix(stream_->write(rest).bytes);
          if (rest.empty()) stream_->shutdown_write();
        }
        std::array<std::byte, 8192> buffer;
        do {
          const io::IoResult read = stream_->read(buffer);
          got.append(reinterpret_cast<const char*>(buffer.data()), read.bytes);
          last = read.status;
        } while (last == io::IoStatus::kOk);
        return last == io::IoStatus::kEof || last == io::IoStatus::kError;
      },
      kPatience));
  EXPECT_EQ(last, io::IoStatus::kEof);
  EXPECT_EQ(got == sent, true);
}

TEST_F(HboneTest, APeerThatSpeaksSomethingElseIsAnError) {
  EchoServer server(loop_, false);
  open(server.address());
  EXPECT_EQ(stream_, nullptr);
  EXPECT_NE(reason_, "");
}

TEST_F(HboneTest, AnAttemptCanBeGivenUp) {
  EchoServer server(loop_, true);
  dial_ = io::connect(loop_, server.address(), {}, [this](auto made) {
    hbone_ = open_hbone(loop_, std::move(*made), "10.1.0.7:8080",
                        [](auto) { ADD_FAILURE() << "told although given up"; });
    hbone_.reset();
    answered_ = true;
  });
  ASSERT_TRUE(loop_.run_until([this] { return answered_; }, kPatience));
}

}  // namespace
}  // namespace mizzen::proxy
