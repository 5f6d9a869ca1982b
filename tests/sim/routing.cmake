# Hops of lookups in stable rings of 8 .. 10,000 tokens (routing.cpp).
add_executable(ringfs-routing-sim ${CMAKE_CURRENT_LIST_DIR}/routing.cpp)
target_link_libraries(ringfs-routing-sim PRIVATE ringfs_dht)
add_test(NAME routing_sim COMMAND ringfs-routing-sim)
set_tests_properties(routing_sim PROPERTIES LABELS sim TIMEOUT 300)
