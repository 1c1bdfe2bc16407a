# An AMI with secretref for Packer: packer init . && packer build -var package=... -var 'files=[...]' .
variable "source_ami" {
  type        = string
  description = "The image to begin with: Amazon Linux 2023, Ubuntu, Debian or Red Hat's family, with Docker in it or not."
}

variable "package" {
  type        = string
  description = "The package of secretref: a .deb or a .rpm of the image's family and architecture."
}

variable "files" {
  type        = list(string)
  default     = []
  description = "Drop-ins of the configuration (.toml) and authorities to trust (.crt). References only: nothing in them is secret."
}

variable "region" {
  type    = string
  default = "eu-west-1"
}

variable "instance_type" {
  type    = string
  default = "t3.small"
}

variable "ssh_username" {
  type        = string
  default     = "ec2-user"
  description = "ubuntu on Ubuntu, admin on Debian."
}

source "amazon-ebs" "secretref" {
  region        = var.region
  source_ami    = var.source_ami
  instance_type = var.instance_type
  ssh_username  = var.ssh_username
  ami_name      = "secretref-${formatdate("YYYYMMDDhhmmss", timestamp())}"
  encrypt_boot  = true

  # begin: Packer 1.7 or later
  imds_support = "v2.0"
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  # end
}

build {
  sources = ["source.amazon-ebs.secretref"]

  provisioner "shell" {
    inline = ["mkdir -p /tmp/secretref"]
  }
  provisioner "file" {
    sources     = concat([var.package], var.files)
    destination = "/tmp/secretref/"
  }
  provisioner "file" {
    source      = "${path.root}/provision"
    destination = "/tmp/secretref/provision"
  }
  provisioner "shell" {
    inline = [
      "sudo sh /tmp/secretref/provision $(find /tmp/secretref -name '*.*' -type f)",
      "rm -r /tmp/secretref",
    ]
  }
}
