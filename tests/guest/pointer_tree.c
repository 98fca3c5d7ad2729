/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pointer_tree send|recv PEER: one builds a tree with absolute pointers in an
 * extent and moves it; the other walks and changes it as it is.
 */
#include "guest.h"

#define NODES 20000u

struct node {
    struct node *left, *right;
    uint64_t key;
};

static void insert(struct node **at, struct node *node)
{
    while (*at != NULL)
        at = node->key < (*at)->key ? &(*at)->left : &(*at)->right;
    *at = node;
}

static void build(const char *peer)
{
    struct ferry_msg msg = {.mode = FERRY_MOVE, .dst = peer_of(peer)->id};
    struct node *nodes = alloc_units(NODES * sizeof(struct node)), *root = NULL;
    uint64_t key = 1;

    for (uint32_t i = 0; i < NODES; i++) {
        key = key * 6364136223846793005u + 1442695040888963407u;
        nodes[i] = (struct node){NULL, NULL, key};
        insert(&root, &nodes[i]);
        msg.tag += key; /* the sum of all keys */
    }
    msg.data = nodes;
    msg.bytes = NODES * sizeof(struct node);
    expect_ok("send", ferry_send_wait(&msg, FERRY_WHEN_AUTO));
}

/* In order, so that keys must rise. */
static void walk(struct node *node, uint64_t *last, uint64_t *sum, uint32_t *count)
{
    if (node == NULL)
        return;
    walk(node->left, last, sum, count);
    if (node->key < *last)
        fail("the tree is out of order");
    *last = node->key;
    *sum += node->key;
    ++*count;
    walk(node->right, last, sum, count);
    node->left = node->right = NULL;
}

static void examine(const char *peer)
{
    uint64_t last = 0, sum = 0;
    uint32_t count = 0;
    struct ferry_msg msg;

    peer_of(peer);
    receive(&msg);
    walk(msg.data, &last, &sum, &count);
    if (count != NODES || sum != msg.tag)
        fail("%u nodes with sum %llx", count, (unsigned long long)sum);
}

int main(int argc, char **argv)
{
    expect_arguments(argc, 2, "pointer_tree send|recv PEER");
    if (strcmp(argv[1], "send") == 0)
        build(argv[2]);
    else
        examine(argv[2]);
    return 0;
}
