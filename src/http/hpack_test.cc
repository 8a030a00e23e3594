#include "http/hpack.h"

#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <random>
#include <string>
#include <utility>
#include <vector>

namespace mizzen::http::hpack {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

std::string bytes_of(std::string_view hex) {
  std::string bytes;
  std::string digits;
  for (const char c : hex) {
    if (c != ' ') digits += c;
  }
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

// All fields of one block; a last one named "broken" or "more" when it ends otherwise.
Fields read(Reader& reader, std::string_view bytes) {
  Fields fields;
  Field field;
  reader.begin();
  while (!bytes.empty()) {
    switch (reader.next(bytes, field)) {
      case Reader::Step::kField:
        fields.emplace_back(field.name, field.value);
        break;
      case Reader::Step::kNothing:
        break;
      case Reader::Step::kMore:
        fields.emplace_back("more", "");
        return fields;
      case Reader::Step::kBroken:
        fields.emplace_back("broken", "");
        return fields;
    }
  }
  return fields;
}

std::string write(Writer& writer, const Fields& fields) {
  std::size_t room = Writer::kBlockOverhead;
  for (const auto& [name, value] : fields) {
    room += name.size() + value.size() + Writer::kFieldOverhead;
  }
  std::string block(room, '\0');
  char* at = writer.begin(block.data());
  for (const auto& [name, value] : fields) at = writer.write(name, value, at);
  block.resize(static_cast<std::size_t>(at - block.data()));
  return block;
}

// RFC 7541 C.3 and C.4: three requests over one connection, in plain text and in Huffman code.
TEST(Hpack, RequestsOfTheRfc) {
  const char* const blocks[2][3] = {
      {"8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", "8286 84be 5808 6e6f 2d63 6163 6865",
       "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65"},
      {"8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", "8286 84be 5886 a8eb 1064 9cbf",
       "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf"},
  };
  for (const auto& three : blocks) {
    Reader reader(4096, 4096);
    EXPECT_EQ(read(reader, bytes_of(three[0])), (Fields{{":method", "GET"},
                                                        {":scheme", "http"},
                                                        {":path", "/"},
                                                        {":authority", "www.example.com"}}));
    EXPECT_EQ(read(reader, bytes_of(three[1])), (Fields{{":method", "GET"},
                                                        {":scheme", "http"},
                                                        {":path", "/"},
                                                        {":authority", "www.example.com"},
                                                        {"cache-control", "no-cache"}}));
    EXPECT_EQ(read(reader, bytes_of(three[2])), (Fields{{":method", "GET"},
                                                        {":scheme", "https"},
                                                        {":path", "/index.html"},
                                                        {":authority", "www.example.com"},
                                                        {"custom-key", "custom-value"}}));
  }
}

// C.5 and C.6: three responses with a table of 256 bytes, out of which entries fall.
TEST(Hpack, ResponsesOfTheRfc) {
  const std::string size = bytes_of("3fe101");
  const char* const blocks[2][3] = {
      {"4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a"
       "3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
       "4803 3330 37c1 c0bf",
       "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04"
       "677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49"
       "553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31"},
      {"4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e"
       "919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
       "4883 640e ffc1 c0bf",
       "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7"
       "821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed"
       "4ee5 b106 3d50 07"},
  };
  const std::string date = "Mon, 21 Oct 2013 20:13:21 GMT";
  for (const auto& three : blocks) {
    Reader reader(4096, 4096);
    EXPECT_EQ(read(reader, size + bytes_of(three[0])),
              (Fields{{":status", "302"},
                      {"cache-control", "private"},
                      {"date", date},
                      {"location", "https://www.example.com"}}));
    EXPECT_EQ(read(reader, bytes_of(three[1])), (Fields{{":status", "307"},
                                                        {"cache-control", "private"},
                                                        {"date", date},
                                                        {"location", "https://www.example.com"}}));
    EXPECT_EQ(read(reader, bytes_of(three[2])),
              (Fields{{":status", "200"},
                      {"cache-control", "private"},
                      {"date", "Mon, 21 Oct 2013 20:13:22 GMT"},
                      {"location", "https://www.example.com"},
                      {"content-encoding", "gzip"},
                      {"set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"}}));
  }
}

TEST(Hpack, WhatIsNoFieldBlock) {
  const std::pair<const char*, const char*> cases[] = {
      {"index 0", "80"},
      {"index beyond the table", "be"},
      {"name beyond the table", "7f00 0161"},
      {"number without an end", "ff80 8080 8080 8080 8001"},
      {"table larger than allowed", "3fe2 1f"},
      {"table's size behind a field", "8220"},
      {"text beyond the limit", "0001 617f ffff ff7f"},
      {"padding of zeros", "0001 6181 00"},
      {"padding of a byte", "0001 6182 1fff"},
      {"EOS", "0001 6184 ffff ffff"},
  };
  for (const auto& [what, hex] : cases) {
    Reader reader(4096, 4096);
    const Fields fields = read(reader, bytes_of(hex));
    ASSERT_FALSE(fields.empty()) << what;
    EXPECT_EQ(fields.back().first, "broken") << what;
  }
}

TEST(Hpack, AFieldThatIsNotWholeIsNotTaken) {
  const std::string whole = bytes_of("4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf");
  for (std::size_t size = 1; size < whole.size(); ++size) {
    Reader reader(4096, 4096);
    std::string_view part(whole.data(), size);
    Field field;
    EXPECT_EQ(reader.next(part, field), Reader::Step::kMore) << size;
    EXPECT_EQ(part.size(), size);
    EXPECT_EQ(read(reader, whole), (Fields{{"custom-key", "custom-value"}}));
  }
}

TEST(Hpack, ASmallerTableMustBeConfirmed) {
  Reader reader(100, 4096);
  EXPECT_EQ(read(reader, "\x82").back().first, ":method");
  reader.set_table(100);
  EXPECT_EQ(read(reader, bytes_of("3f45 82")).back().first, ":method");
  Reader strict(100, 4096);
  strict.set_table(100);
  EXPECT_EQ(read(strict, "\x82").back().first, "broken");
}

TEST(Hpack, NamesAndValuesAreJudged) {
  EXPECT_TRUE(is_name("x-one") && is_name(":path") && !is_name("") && !is_name(":"));
  EXPECT_FALSE(is_name("X-One") || is_name("a b") || is_name("a:b") || is_name("a\n"));
  EXPECT_TRUE(is_value("") && is_value("a b") && is_value("\xc3\xa4"));
  EXPECT_FALSE(is_value(" a") || is_value("a\t") || is_value("a\r") || is_value({"\0", 1}));
}

TEST(Hpack, HuffmanBothWays) {
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    std::string text(random() % 40, '\0');
    for (char& c : text) c = static_cast<char>(round % 2 ? 'a' + random() % 26 : random());
    std::string code(huffman_size(text), '\0');
    EXPECT_EQ(huffman_encode(text, code.data()), code.data() + code.size());
    std::string back(code.size() * 8 / 5 + 1, '\0');
    const auto size = huffman_decode(code, back.data());
    ASSERT_TRUE(size.has_value());
    EXPECT_EQ(back.substr(0, *size), text);
  }
}

TEST(Hpack, WhatComesAgainIsWrittenShort) {
  Writer writer;
  const Fields fields = {{":method", "GET"}, {":path", "/a/path"}, {"x-one", "1"}};
  write(writer, fields);
  write(writer, fields);
  EXPECT_EQ(write(writer, fields).size(), 3u);
  const Fields secret = {{"authorization", "Basic abc"}, {"cookie", "a=1"}};
  const std::size_t size = write(writer, secret).size();
  EXPECT_EQ(write(writer, secret).size(), size);
}

// The reference library as the other end.
struct Judge {
  Judge() {
    nghttp2_hd_deflate_new(&deflater, 4096);
    nghttp2_hd_inflate_new(&inflater);
  }
  ~Judge() {
    nghttp2_hd_deflate_del(deflater);
    nghttp2_hd_inflate_del(inflater);
  }
  std::string write(const Fields& fields) const {
    std::vector<nghttp2_nv> all;
    for (const auto& [name, value] : fields) {
      all.push_back({reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data())),
                     reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data())), name.size(),
                     value.size(), NGHTTP2_NV_FLAG_NONE});
    }
    std::string block(nghttp2_hd_deflate_bound(deflater, all.data(), all.size()), '\0');
    const auto size = nghttp2_hd_deflate_hd(deflater, reinterpret_cast<std::uint8_t*>(block.data()),
                                            block.size(), all.data(), all.size());
    EXPECT_GE(size, 0);
    block.resize(static_cast<std::size_t>(size));
    return block;
  }
  Fields read(std::string_view block) const {
    Fields fields;
    const auto* at = reinterpret_cast<const std::uint8_t*>(block.data());
    std::size_t left = block.size();
    for (;;) {
      nghttp2_nv field;
      int flags = 0;
      const auto used = nghttp2_hd_inflate_hd2(inflater, &field, &flags, at, left, 1);
      if (used < 0) {
        ADD_FAILURE() << nghttp2_strerror(static_cast<int>(used));
        return fields;
      }
      at += used;
      left -= static_cast<std::size_t>(used);
      if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
        fields.emplace_back(std::string(reinterpret_cast<char*>(field.name), field.namelen),
                            std::string(reinterpret_cast<char*>(field.value), field.valuelen));
      }
      if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) break;
      if ((flags & NGHTTP2_HD_INFLATE_EMIT) == 0 && left == 0) break;
    }
    nghttp2_hd_inflate_end_headers(inflater);
    return fields;
  }
  nghttp2_hd_deflater* deflater = nullptr;
  nghttp2_hd_inflater* inflater = nullptr;
};

Fields random_fields(std::mt19937& random) {
  const char* const names[] = {":path",  "x-request-id", "date",   "cookie", "authorization",
                               "accept", "user-agent",   "x-long", "x-bin",  "set-cookie"};
  Fields fields;
  for (std::size_t i = random() % 12; i > 0; --i) {
    std::string name = names[random() % std::size(names)];
    if (random() % 8 == 0) name += std::to_string(random() % 50);
    std::string value(random() % 30 == 0 ? random() % 5000 : random() % 30, 'v');
    for (char& c : value) c = static_cast<char>(' ' + random() % (random() % 3 == 0 ? 200 : 60));
    if (random() % 2 == 0) value = std::to_string(random() % 5);
    fields.emplace_back(std::move(name), std::move(value));
  }
  return fields;
}

TEST(Hpack, AgreesWithTheReferenceBothWays) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    Judge judge;
    Writer writer;
    Reader reader(4096, 64 * 1024);
    for (int round = 0; round < 200; ++round) {
      if (random() % 20 == 0) {
        const std::size_t table = random() % 3 == 0 ? 0 : random() % 5000;
        writer.set_table(table);
        nghttp2_hd_inflate_change_table_size(judge.inflater, table);
        const std::size_t own = random() % 4097;
        nghttp2_hd_deflate_change_table_size(judge.deflater, own);
      }
      const Fields fields = random_fields(random);
      ASSERT_EQ(judge.read(write(writer, fields)), fields);
      ASSERT_EQ(read(reader, judge.write(fields)), fields);
    }
  }
}

}  // namespace
}  // namespace mizzen::http::hpack
