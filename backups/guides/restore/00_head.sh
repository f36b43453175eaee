#!/bin/sh
# Restores the backup set in this folder, without the product that took it. Needed: sh, zstd, age (for an
# encrypted set), sha256sum, GNU tar (for trees of files) and the database's own client.
#
# Check the signature BEFORE you run this: whoever can write to the store can also write this file.
#   openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in checksums.txt -sigfile checksums.txt.sig
#   sha256sum -c checksums.txt
# RESTORE.md beside this file explains every step.

# What stands in single quotes is meant as it stands.
# shellcheck disable=SC2016

set -u
LC_ALL=C
export LC_ALL
umask 077

# ------------------------------------------------------------------ what this set is

#VALUES#

# Calls "$@" for each part, in the order of the restore, with its values in p_*.
each_part() {
    #PARTS#
    return 0
}

# Calls "$@" for each source, in the order of the restore, with its values in s_*.
each_source() {
    #SOURCES#
    return 0
}

part() {
    p_order=$1 p_source=$2 p_name=$3 p_engine=$4 p_tier=$5 p_suffix=$6 p_plain=$7 p_stored=$8 p_digest=$9
    shift 9
    p_key=$1
}

origin() {
    s_name=$1 s_engine=$2 s_tier=$3 s_key=$4
}

