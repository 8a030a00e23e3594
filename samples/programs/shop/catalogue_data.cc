// The socks: names, texts, prices and the colours of their pictures.
#include <fmt/format.h>

#include "samples/shop/pictures.h"
#include "samples/shop/services.h"
#include "samples/stores/mysql_client.h"

namespace mizzen::samples::shop {
namespace {

struct SockRow {
  const char* id;
  const char* name;
  const char* description;
  double price;
  int count;
  const char* tags;  // separated by commas
};

constexpr SockRow kSocks[] = {
    {"03fef6ac-1896-4ce8-bd69-b798f85c6e0b", "Holy",
     "Full of holes on purpose: a mesh knit for warm days and for feet that like to breathe.",
     99.99, 12, "action,magic"},
    {"3395a43e-2d88-40de-b95f-e00e1502085b", "Colourful",
     "Every stripe is a different yarn, because we could not agree on one. Proudly loud.", 18.00,
     438, "brown,blue"},
    {"510a0d7e-8e83-4193-b483-e27e09ddc34d", "SuperSport XL",
     "Ready for the marathon, the stairs, or the long walk to the fridge. Cushioned at the heel.",
     15.00, 820, "sport,formal,black"},
    {"808a2de1-1aaa-4c25-a9b9-6612e8f29a38", "Crossed",
     "A lattice of fine lines that stays in place all day, whatever you do under the table.", 17.32,
     738, "blue,action,red,formal"},
    {"819e1fbf-8b7e-4f6d-811f-693534916a8b", "Figueroa",
     "Deep green with a thin band at the top: for evenings that call for shoes.", 14.00, 808,
     "green,formal,blue"},
    {"837ab141-399e-4c1f-9abc-bace40296bac", "Cat socks",
     "Two ears, whiskers, and the patience of a cat: they will not fetch your slippers.", 15.00,
     175, "brown,formal,green"},
    {"a0a4f044-b040-410d-8ead-4de0446aec7e", "Nerd leg",
     "Powers of two climb up the leg. The left one holds the zeros, the right one the ones.", 7.99,
     115, "blue,skin"},
    {"d3588630-ad8e-49df-bbd7-3167f7efb246", "Weave special",
     "Woven of one endless thread, for people who run many small things that depend on each other.",
     33.30, 33, "geek,black"},
    {"zzz4f044-b040-410d-8ead-4de0446aec7e", "Classic",
     "Keep it simple: one colour, good wool, and a toe that lasts.", 12.00, 127, "brown,green"},
};

constexpr const char* kTags[] = {"brown",  "geek",  "formal", "blue",  "skin", "red",
                                 "action", "sport", "black",  "magic", "green"};

std::string_view next_tag(std::string_view* tags) {
  std::size_t comma = tags->find(',');
  std::string_view out = tags->substr(0, comma);
  *tags = comma == tags->npos ? std::string_view() : tags->substr(comma + 1);
  return out;
}

}  // namespace

std::string catalogue_sql() {
  std::string out =
      "CREATE TABLE sock (sock_id TEXT PRIMARY KEY, name TEXT, description TEXT, price REAL, "
      "count INTEGER, image_url_1 TEXT, image_url_2 TEXT);"
      "CREATE TABLE tag (tag_id INTEGER PRIMARY KEY, name TEXT);"
      "CREATE TABLE sock_tag (sock_id TEXT, tag_id INTEGER);";
  int number = 0;
  for (const char* tag : kTags) {
    out += fmt::format("INSERT INTO tag VALUES ({}, {});", ++number, sql_quoted(tag));
  }
  std::size_t place = 0;
  for (const SockRow& sock : kSocks) {
    std::string_view picture = picture_name(place++);
    out += fmt::format(
        "INSERT INTO sock VALUES ({}, {}, {}, {}, {}, '/catalogue/images/{}_1.svg', "
        "'/catalogue/images/{}_2.svg');",
        sql_quoted(sock.id), sql_quoted(sock.name), sql_quoted(sock.description), sock.price,
        sock.count, picture, picture);
    for (std::string_view tags = sock.tags; !tags.empty();) {
      out += fmt::format("INSERT INTO sock_tag SELECT {}, tag_id FROM tag WHERE name = {};",
                         sql_quoted(sock.id), sql_quoted(next_tag(&tags)));
    }
  }
  return out;
}

}  // namespace mizzen::samples::shop
